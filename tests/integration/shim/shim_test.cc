// The real yoke-shim with fake_worker: how an attempt starts, ends and is recorded.
#include <signal.h>

#include <algorithm>
#include <sstream>

#include "common/ipc/events.h"
#include "common/os/clock.h"
#include "common/os/file.h"
#include "common/os/ofd_lock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/shim/attempt_folder.h"
#include "tests/integration/shim/until.h"
#include "tests/support/signal_one.h"

namespace yoke {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Long enough that only a stop ends it within a test's patience.
constexpr double kLong = 60;

class Timer {
 public:
  double seconds() const {
    return static_cast<double>(os::BootMilliseconds() - start_) / 1000;
  }

 private:
  const int64_t start_ = os::BootMilliseconds();
};

// Ranks that were started, as they themselves wrote.
int CountStarts(const AttemptFolder& attempt) {
  const std::string text = os::ReadFile(attempt.witness()).value_or("");
  int count = 0;
  for (size_t at = text.find("START"); at != std::string::npos; at = text.find("START", at + 1)) {
    ++count;
  }
  return count;
}

TEST(Shim, RecordsAnAttemptThatSucceeds) {
  AttemptFolder attempt(2, {{"run_for", 0.3}});
  const double before = os::EpochSeconds();
  const ipc::ExitRecord record = attempt.Run();
  EXPECT_EQ(record.outcome, "succeeded");
  EXPECT_EQ(record.run_id, attempt.spec.run_id);
  EXPECT_FALSE(record.has_first_failure);
  ASSERT_EQ(record.ranks.size(), 2u);
  EXPECT_EQ(record.ranks[1].rank, 1);
  EXPECT_EQ(record.ranks[1].exit_code, 0);
  EXPECT_GE(record.start_time, before);
  EXPECT_GE(record.end_time - record.start_time, 0.3);
  EXPECT_GT(record.peak_rss_bytes, 0);
  EXPECT_EQ(record.killed_strays, 0);
  EXPECT_TRUE(record.none_left);
  EXPECT_THAT(attempt.ReadText("rank1.log"), HasSubstr("rank 1 epoch"));
  EXPECT_EQ(CountStarts(attempt), 2);
  EXPECT_FALSE(attempt.Has("reserve"));
}

TEST(Shim, WritesWhoItIsBeforeTheRanksStart) {
  AttemptFolder attempt(1, {{"run_for", kLong}});
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(attempt.WaitForLogs(1));
  const auto json = ipc::ReadJsonFile(attempt.spec.attempt_dir + "/started");
  ASSERT_TRUE(json.ok()) << json.status();
  const auto record = ipc::StartRecordFromJson(*json);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->pid, shim);
  EXPECT_EQ(record->start_ticks, os::StartTicks(shim).value_or(-1));
  EXPECT_EQ(record->boot_id, os::BootId().value_or(""));
  EXPECT_EQ(record->run_id, attempt.spec.run_id);
  EXPECT_TRUE(os::OfdLock::IsHeld(attempt.spec.attempt_dir + "/lock").value_or(false));
  const auto stat = os::ReadProcessStat(shim);
  ASSERT_TRUE(stat.ok());
  EXPECT_EQ(stat->session, shim);
  attempt.AskToStop(shim, "cancel", 1);
  EXPECT_EQ(AttemptFolder::Wait(shim), 0);
  EXPECT_FALSE(os::OfdLock::IsHeld(attempt.spec.attempt_dir + "/lock").value_or(true));
}

TEST(Shim, GivesRanksTheirEnvironment) {
  AttemptFolder attempt(2, {{"run_for", kLong}});
  attempt.spec.ranks[1] = {{"GPU-aa", "GPU-bb"}, 3};
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(attempt.WaitForLogs(2));
  const pid_t rank0 = attempt.PidOfRank(0);
  const pid_t rank1 = attempt.PidOfRank(1);
  for (const std::string& entry :
       {std::string("RANK=1"), std::string("LOCAL_RANK=1"), std::string("WORLD_SIZE=2"),
        std::string("CUDA_DEVICE_ORDER=PCI_BUS_ID"), std::string("CUDA_VISIBLE_DEVICES=GPU-aa,GPU-bb"),
        std::string("OMP_NUM_THREADS=3"), std::string("GLOO_SOCKET_IFNAME=lo"),
        std::string("NCCL_SOCKET_IFNAME=lo"), "YOKE_RUN_ID=" + attempt.spec.run_id,
        "YOKE_SPEC=" + attempt.spec.attempt_dir + "/spec.json"}) {
    EXPECT_TRUE(os::HasEnv(rank1, entry)) << entry;
  }
  EXPECT_TRUE(os::HasEnv(rank0, "CUDA_VISIBLE_DEVICES="));
  const auto stat = os::ReadProcessStat(rank1);
  ASSERT_TRUE(stat.ok());
  EXPECT_EQ(stat->group, rank1);
  EXPECT_EQ(stat->parent, shim);
  attempt.AskToStop(shim, "cancel", 1);
  EXPECT_EQ(AttemptFolder::Wait(shim), 0);
}

TEST(Shim, NamesTheRankThatFailedFirst) {
  AttemptFolder attempt(
      2, {{"run_for", kLong},
          {"ranks", {{"1", {{"run_for", 0.2}, {"exit_code", 3}, {"lines", {"why it failed"}}}}}}});
  const ipc::ExitRecord record = attempt.Run();
  EXPECT_EQ(record.outcome, "failed");
  ASSERT_TRUE(record.has_first_failure);
  EXPECT_EQ(record.first_failure.rank, 1);
  EXPECT_EQ(record.first_failure.exit_code, 3);
  EXPECT_EQ(record.first_failure.signal, 0);
  EXPECT_THAT(record.last_lines, Contains("why it failed"));
  EXPECT_EQ(record.ranks[0].exit_code, ipc::kWorkerStopped);
  EXPECT_THAT(record.message, HasSubstr("Rank 1"));
}

TEST(Shim, KeepsTheLastFiftyLinesOfTheFailedRank) {
  json lines = json::array();
  for (int line = 1; line <= 80; ++line) lines.push_back("line " + std::to_string(line));
  AttemptFolder attempt(1, {{"run_for", 0}, {"lines", lines}, {"exit_code", 1}});
  const ipc::ExitRecord record = attempt.Run();
  ASSERT_EQ(record.last_lines.size(), 50u);
  EXPECT_EQ(record.last_lines.front(), "line 31");
  EXPECT_EQ(record.last_lines.back(), "line 80");
}

TEST(Shim, NamesTheSignalOfAKilledRank) {
  AttemptFolder attempt(2, {{"run_for", kLong}, {"lines", {"about to be killed"}}});
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(attempt.WaitForLogs(2));
  SignalOne(attempt.PidOfRank(1), SIGKILL);
  const Timer timer;
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  EXPECT_LT(timer.seconds(), 2);
  const ipc::ExitRecord record = attempt.ReadExit();
  EXPECT_EQ(record.outcome, "failed");
  EXPECT_EQ(record.first_failure.rank, 1);
  EXPECT_EQ(record.first_failure.signal, SIGKILL);
  EXPECT_THAT(record.message, HasSubstr("SIGKILL"));
  EXPECT_THAT(record.last_lines, Contains("about to be killed"));
  EXPECT_THAT(attempt.Processes(), IsEmpty());
}

TEST(Shim, NamesASegmentationFault) {
  AttemptFolder attempt(1, {{"run_for", 0.1}, {"signal", SIGSEGV}});
  const ipc::ExitRecord record = attempt.Run();
  EXPECT_EQ(record.first_failure.signal, SIGSEGV);
  EXPECT_THAT(record.message, HasSubstr("SIGSEGV"));
}

TEST(Shim, LetsARankEndEarlyAndWell) {
  AttemptFolder attempt(2, {{"run_for", 0.5}, {"ranks", {{"0", {{"run_for", 0}}}}}});
  EXPECT_EQ(attempt.Run().outcome, "succeeded");
  EXPECT_THAT(attempt.ReadText("rank1.log"), HasSubstr("step 10"));
}

TEST(Shim, CancelsWhenAsked) {
  AttemptFolder attempt(2, {{"run_for", kLong}});
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(attempt.WaitForLogs(2));
  attempt.AskToStop(shim, "cancel", 5);
  const Timer timer;
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  EXPECT_LT(timer.seconds(), 2);
  const ipc::ExitRecord record = attempt.ReadExit();
  EXPECT_EQ(record.outcome, "cancelled");
  EXPECT_FALSE(record.has_first_failure);
  EXPECT_EQ(record.ranks[0].exit_code, ipc::kWorkerStopped);
  EXPECT_EQ(record.ranks[1].exit_code, ipc::kWorkerStopped);
  EXPECT_TRUE(os::FileExists(attempt.spec.run_dir + "/weights/last.pt"));
}

TEST(Shim, FindsAStopRequestWhoseSignalWasLost) {
  AttemptFolder attempt(1, {{"run_for", kLong}});
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(attempt.WaitForLogs(1));
  ASSERT_TRUE(ipc::WriteJsonFile(attempt.spec.attempt_dir + "/stop.json",
                                 ipc::ToJson(ipc::StopRequest{"time_limit", 1}))
                  .ok());
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  EXPECT_EQ(attempt.ReadExit().outcome, "timed_out");
}

TEST(Shim, StartsNothingWhenAlreadyAskedToStop) {
  AttemptFolder attempt(1, json::object());
  ASSERT_TRUE(ipc::WriteJsonFile(attempt.spec.attempt_dir + "/stop.json",
                                 ipc::ToJson(ipc::StopRequest{"cancel", 1}))
                  .ok());
  EXPECT_EQ(attempt.Run().outcome, "cancelled");
  EXPECT_EQ(CountStarts(attempt), 0);
}

TEST(Shim, SucceedsWhenRanksFinishedInSpiteOfTheRequest) {
  AttemptFolder attempt(1, {{"run_for", 0.5}, {"ignore_term", true}});
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(attempt.WaitForLogs(1));
  attempt.AskToStop(shim, "cancel", 5);
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  EXPECT_EQ(attempt.ReadExit().outcome, "succeeded");
}

TEST(Shim, KillsARankThatIgnoresTheRequestAfterTheGrace) {
  AttemptFolder attempt(2, {{"run_for", kLong}, {"ranks", {{"0", {{"ignore_term", true}}}}}});
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(attempt.WaitForLogs(2));
  attempt.AskToStop(shim, "cancel", 0.5);
  const Timer timer;
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  EXPECT_GE(timer.seconds(), 0.45);
  EXPECT_LT(timer.seconds(), 2);
  const ipc::ExitRecord record = attempt.ReadExit();
  EXPECT_EQ(record.outcome, "cancelled");
  EXPECT_EQ(record.ranks[0].signal, SIGKILL);
  EXPECT_EQ(record.ranks[1].exit_code, ipc::kWorkerStopped);
  EXPECT_THAT(record.message, HasSubstr("Rank 0 did not stop"));
  EXPECT_THAT(attempt.Processes(), IsEmpty());
}

TEST(Shim, KillsTheOthersAfterTheGraceWhenOneFails) {
  AttemptFolder attempt(2, {{"run_for", kLong},
                            {"ignore_term", true},
                            {"ranks", {{"1", {{"run_for", 0.1}, {"exit_code", 1}}}}}});
  attempt.spec.grace_seconds = 0.3;
  const ipc::ExitRecord record = attempt.Run();
  EXPECT_EQ(record.outcome, "failed");
  EXPECT_EQ(record.first_failure.rank, 1);
  EXPECT_EQ(record.ranks[0].signal, SIGKILL);
}

TEST(Shim, HonoursASecondRequestWithLessGrace) {
  AttemptFolder attempt(1, {{"run_for", kLong}, {"ignore_term", true}});
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(attempt.WaitForLogs(1));
  attempt.AskToStop(shim, "cancel", 60);
  usleep(200'000);
  attempt.AskToStop(shim, "cancel", 0);
  const Timer timer;
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  EXPECT_LT(timer.seconds(), 2);
  EXPECT_EQ(attempt.ReadExit().outcome, "cancelled");
}

TEST(Shim, KillsAStoppedProcessToo) {
  AttemptFolder attempt(1, {{"run_for", kLong}});
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(attempt.WaitForLogs(1));
  SignalOne(attempt.PidOfRank(0), SIGSTOP);
  attempt.AskToStop(shim, "cancel", 0.3);
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  EXPECT_EQ(attempt.ReadExit().ranks[0].signal, SIGKILL);
}

class ShimStray : public ::testing::TestWithParam<const char*> {};

TEST_P(ShimStray, IsFoundAndKilled) {
  AttemptFolder attempt(1, {{"run_for", 0.3}, {"stray", GetParam()}});
  const pid_t shim = attempt.Start();
  const std::string pid_file = attempt.spec.run_dir + "/stray.pid";
  ASSERT_TRUE(Until(5, [&] { return os::FileExists(pid_file); }));
  const pid_t stray = std::stoi(os::ReadFile(pid_file).value_or("0"));
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  const ipc::ExitRecord record = attempt.ReadExit();
  EXPECT_EQ(record.outcome, "succeeded");
  EXPECT_EQ(record.killed_strays, 1);
  EXPECT_TRUE(record.none_left);
  EXPECT_FALSE(os::ReadProcessStat(stray).ok());
  EXPECT_THAT(attempt.Processes(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, ShimStray, ::testing::Values("marked", "bare"));

TEST(Shim, OnlyOneOfTwoStarts) {
  AttemptFolder attempt(1, {{"run_for", 0.5}});
  const pid_t first = attempt.Start();
  const pid_t second = attempt.Start();
  std::vector<int> codes = {AttemptFolder::Wait(first), AttemptFolder::Wait(second)};
  std::sort(codes.begin(), codes.end());
  EXPECT_EQ(codes[0], 0);
  EXPECT_EQ(codes[1], 3);  // the lock is held
  EXPECT_EQ(CountStarts(attempt), 1);
  EXPECT_EQ(AttemptFolder::Wait(attempt.Start()), 4);  // started before
  EXPECT_EQ(CountStarts(attempt), 1);
}

TEST(Shim, TakesItsRanksAlongWhenItIsKilled) {
  AttemptFolder attempt(2, {{"run_for", kLong}, {"ignore_term", true}});
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(attempt.WaitForLogs(2));
  SignalOne(shim, SIGKILL);
  EXPECT_EQ(AttemptFolder::Wait(shim), -1);
  EXPECT_TRUE(Until(1, [&] { return attempt.Processes().empty(); }));
  EXPECT_FALSE(attempt.Has("exit.json"));
  EXPECT_TRUE(attempt.Has("started"));
  EXPECT_FALSE(os::OfdLock::IsHeld(attempt.spec.attempt_dir + "/lock").value_or(true));
}

TEST(Shim, FailsWhenThePreparationFails) {
  AttemptFolder attempt(2, {{"prepare", {{"exit_code", 10}, {"lines", {"data.yaml: no 'names'"}}}}});
  const ipc::ExitRecord record = attempt.Run();
  EXPECT_EQ(record.outcome, "failed");
  ASSERT_TRUE(record.has_first_failure);
  EXPECT_EQ(record.first_failure.rank, -1);
  EXPECT_EQ(record.first_failure.exit_code, ipc::kWorkerBadInput);
  EXPECT_THAT(record.message, HasSubstr("bad input"));
  EXPECT_THAT(record.last_lines, Contains("data.yaml: no 'names'"));
  EXPECT_THAT(record.ranks, IsEmpty());
  EXPECT_EQ(CountStarts(attempt), 0);
}

TEST(Shim, StopsDuringThePreparation) {
  AttemptFolder attempt(2, {{"prepare", {{"run_for", kLong}}}});
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(Until(5, [&] { return !attempt.ReadText("prepare.log").empty(); }));
  attempt.AskToStop(shim, "cancel", 2);
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  EXPECT_EQ(attempt.ReadExit().outcome, "cancelled");
  EXPECT_FALSE(attempt.Has("rank0.log"));
}

TEST(Shim, LeavesThePreparationToASingleRank) {
  AttemptFolder attempt(1, {{"run_for", 0.1}, {"prepare", {{"exit_code", 10}}}});
  EXPECT_EQ(attempt.Run().outcome, "succeeded");
  EXPECT_FALSE(attempt.Has("prepare.log"));
}

TEST(Shim, SkipsThePreparationWhenTold) {
  AttemptFolder attempt(2, {{"run_for", 0.1}, {"prepare", {{"exit_code", 10}}}});
  attempt.spec.prepare = false;
  EXPECT_EQ(attempt.Run().outcome, "succeeded");
}

TEST(Shim, SaysWhenTheWorkerCannotBeStarted) {
  AttemptFolder attempt(1, json::object());
  attempt.spec.worker = "/nonexistent/yoke-worker";
  attempt.spec.prepare = false;
  const ipc::ExitRecord record = attempt.Run();
  EXPECT_EQ(record.outcome, "failed");
  EXPECT_EQ(record.first_failure.exit_code, 127);
  EXPECT_THAT(
      record.message,
      HasSubstr("could not be started: cannot start /nonexistent/yoke-worker: No such file"));
}

TEST(Shim, RefusesASpecItCannotRead) {
  AttemptFolder attempt(0, json::object());  // no ranks
  EXPECT_EQ(AttemptFolder::Wait(attempt.Start()), 2);
  EXPECT_FALSE(attempt.Has("started"));
}

TEST(Shim, ContinuesTheEventsOfFakeWorker) {
  AttemptFolder attempt(1, {{"run_for", 0.5}});
  EXPECT_EQ(attempt.Run().outcome, "succeeded");
  std::istringstream lines(attempt.ReadText("rank0.events.jsonl"));
  std::string line, last_type;
  int64_t seq = 0;
  while (std::getline(lines, line)) {
    const auto event = ipc::ParseEvent(line);
    ASSERT_TRUE(event.ok()) << line;
    EXPECT_EQ(event->seq, ++seq);
    last_type = event->type;
  }
  EXPECT_GT(seq, 10);
  EXPECT_EQ(last_type, "result");
}

}  // namespace
}  // namespace yoke
