// Ranks that make no progress any more: found, named, ended, with evidence.
#include <signal.h>

#include <cstdlib>

#include "common/os/clock.h"
#include "common/os/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/shim/attempt_folder.h"
#include "tests/integration/shim/until.h"
#include "tests/support/signal_one.h"

namespace yoke {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr double kLong = 60;
constexpr double kLimitSeconds = 0.5;

bool LongTier() {
  const char* tier = std::getenv("YOKE_TEST_TIER");
  return tier != nullptr && std::string(tier) == "long";
}

double SecondsSince(int64_t boot_ms) {
  return static_cast<double>(os::BootMilliseconds() - boot_ms) / 1000;
}

json ReadSlots(const AttemptFolder& attempt) {
  return json::parse(attempt.ReadText("hang/slots.json"), nullptr, false);
}

// Waits until every rank is past its first step.
bool WaitForSteps(const AttemptFolder& attempt, int ranks) {
  return Until(10, [&] {
    for (int rank = 0; rank < ranks; ++rank) {
      if (attempt.ReadText(ipc::RankLogName(rank)).find("step 3") == std::string::npos)
        return false;
    }
    return true;
  });
}

class StoppedRank : public ::testing::TestWithParam<int> {};

TEST_P(StoppedRank, IsNamedInTime) {
  const int ranks = GetParam();
  const int rounds = LongTier() ? 50 : 5;
  for (int round = 0; round < rounds; ++round) {
    AttemptFolder attempt(ranks,
                          {{"run_for", kLong}, {"collective", true}, {"lines_per_second", 100}});
    attempt.spec.hang_seconds = kLimitSeconds;
    const pid_t shim = attempt.Start();
    ASSERT_TRUE(WaitForSteps(attempt, ranks));
    usleep(static_cast<useconds_t>(rand() % 30'000));  // anywhere in a step
    const int victim = round % ranks;
    SignalOne(attempt.PidOfRank(victim), SIGSTOP);
    const int64_t stopped = os::BootMilliseconds();
    ASSERT_TRUE(Until(kLimitSeconds + 2, [&] { return attempt.Has("hang/slots.json"); }))
        << "round " << round;
    EXPECT_LT(SecondsSince(stopped), kLimitSeconds + 2);
    ASSERT_EQ(AttemptFolder::Wait(shim), 0);
    EXPECT_LT(SecondsSince(stopped), kLimitSeconds + 2 + attempt.spec.grace_seconds + 1);
    const ipc::ExitRecord record = attempt.ReadExit();
    EXPECT_EQ(record.outcome, "failed");
    EXPECT_EQ(record.reason, "HANG");
    ASSERT_TRUE(record.has_first_failure);
    ASSERT_EQ(record.first_failure.rank, victim) << record.message;
    EXPECT_THAT(record.message, HasSubstr("it is stopped"));
    EXPECT_THAT(attempt.Processes(), IsEmpty());
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, StoppedRank, ::testing::Values(2, 4));

TEST(Hang, NamesTheRankThatIsBehindNotThoseThatWaitForIt) {
  AttemptFolder attempt(
      3, {{"run_for", kLong}, {"collective", true}, {"ranks", {{"1", {{"stuck_at_step", 5}}}}}});
  attempt.spec.hang_seconds = kLimitSeconds;
  const ipc::ExitRecord record = attempt.Run();
  EXPECT_EQ(record.reason, "HANG");
  // All have begun step 5, and those that finished it wait at step 6.
  EXPECT_EQ(record.first_failure.rank, 1) << record.message;
  EXPECT_THAT(record.message, HasSubstr("at step 5 while others are at step 6"));
}

TEST(Hang, LeavesEvidence) {
  AttemptFolder attempt(2,
                        {{"run_for", kLong}, {"collective", true}, {"lines", {"the last words"}}});
  attempt.spec.hang_seconds = kLimitSeconds;
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(WaitForSteps(attempt, 2));
  const pid_t victim = attempt.PidOfRank(1);
  SignalOne(victim, SIGSTOP);
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  const json slots = ReadSlots(attempt);
  ASSERT_TRUE(slots.is_object());
  EXPECT_EQ(slots["rank"], 1);
  ASSERT_EQ(slots["ranks"].size(), 2u);
  EXPECT_EQ(slots["ranks"][1]["pid"], victim);
  EXPECT_EQ(slots["ranks"][1]["state"], "T");
  EXPECT_EQ(slots["ranks"][1]["phase"], "train");
  EXPECT_GE(slots["ranks"][1]["silent_ms"], 500);
  EXPECT_THAT(attempt.ReadText("hang/rank1.proc"), HasSubstr("State:\tT"));
  EXPECT_THAT(attempt.ReadText("hang/rank0.proc"), HasSubstr("wchan"));
  EXPECT_THAT(attempt.ReadText("hang/rank0.log"), HasSubstr("the last words"));
}

TEST(Hang, WakesAStoppedRankSoThatItCanSave) {
  AttemptFolder attempt(2, {{"run_for", kLong}, {"collective", true}});
  attempt.spec.hang_seconds = kLimitSeconds;
  attempt.spec.grace_seconds = 5;
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(WaitForSteps(attempt, 2));
  SignalOne(attempt.PidOfRank(0), SIGSTOP);
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  const ipc::ExitRecord record = attempt.ReadExit();
  EXPECT_EQ(record.reason, "HANG");
  EXPECT_EQ(record.ranks[0].exit_code, ipc::kWorkerStopped);
  EXPECT_TRUE(os::FileExists(attempt.spec.run_dir + "/weights/last.pt"));
}

TEST(Hang, KillsRanksThatDoNotEnd) {
  AttemptFolder attempt(2, {{"run_for", kLong},
                            {"collective", true},
                            {"ignore_term", true},
                            {"ranks", {{"0", {{"stuck_at_step", 3}}}}}});
  attempt.spec.hang_seconds = kLimitSeconds;
  attempt.spec.grace_seconds = 0.3;
  const ipc::ExitRecord record = attempt.Run();
  EXPECT_EQ(record.reason, "HANG");
  EXPECT_EQ(record.ranks[0].signal, SIGKILL);
  EXPECT_EQ(record.ranks[1].signal, SIGKILL);
}

TEST(Hang, LeavesARankAloneThatComputes) {
  AttemptFolder attempt(1, {{"run_for", kLong}, {"ranks", {{"0", {{"spin_at_step", 5}}}}}});
  attempt.spec.hang_seconds = 0.3;
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(
      Until(5, [&] { return attempt.ReadText("rank0.log").find("step 4") != std::string::npos; }));
  usleep(2'000'000);
  EXPECT_FALSE(attempt.Has("hang/slots.json"));
  attempt.AskToStop(shim, "cancel", 1);
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  EXPECT_EQ(attempt.ReadExit().outcome, "cancelled");
}

TEST(Hang, GivesOtherPhasesMoreTime) {
  AttemptFolder attempt(1, {{"run_for", kLong}, {"phase", "save"}, {"stuck_at_step", 3}});
  attempt.spec.hang_seconds = 0.3;
  const int64_t start = os::BootMilliseconds();
  EXPECT_EQ(attempt.Run().reason, "HANG");
  EXPECT_GT(SecondsSince(start), 1.5);
}

TEST(Hang, GivesOneThatPreparesMostTime) {
  AttemptFolder attempt(1, {{"run_for", kLong}, {"phase", "prepare"}, {"stuck_at_step", 1}});
  attempt.spec.hang_seconds = 0.1;
  const int64_t start = os::BootMilliseconds();
  EXPECT_EQ(attempt.Run().reason, "HANG");
  EXPECT_GT(SecondsSince(start), 2);  // 30 limits; a phase that scans has 15
}

TEST(Hang, IsNotSuspectedAfterTheSupervisorItselfWasStopped) {
  AttemptFolder attempt(2, {{"run_for", 4}, {"collective", true}});
  attempt.spec.hang_seconds = 1;
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(WaitForSteps(attempt, 2));
  SignalOne(shim, SIGSTOP);
  usleep(1'500'000);
  SignalOne(shim, SIGCONT);
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  EXPECT_EQ(attempt.ReadExit().outcome, "succeeded");
}

TEST(Hang, IsNotLookedForWhenSwitchedOff) {
  AttemptFolder attempt(1, {{"run_for", kLong}});
  attempt.spec.hang_seconds = 0;
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(attempt.WaitForLogs(1));
  EXPECT_FALSE(attempt.Has(ipc::kProgressName));
  attempt.AskToStop(shim, "cancel", 1);
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
}

TEST(Hang, FindsAStoppedPreparation) {
  AttemptFolder attempt(2, {{"prepare", {{"run_for", kLong}}}});
  attempt.spec.hang_seconds = kLimitSeconds;
  const pid_t shim = attempt.Start();
  ASSERT_TRUE(Until(5, [&] { return !attempt.ReadText("prepare.log").empty(); }));
  for (const pid_t pid : attempt.Processes()) SignalOne(pid, SIGSTOP);
  ASSERT_EQ(AttemptFolder::Wait(shim), 0);
  const ipc::ExitRecord record = attempt.ReadExit();
  EXPECT_EQ(record.reason, "HANG");
  EXPECT_EQ(record.first_failure.rank, -1);
  EXPECT_THAT(record.message, HasSubstr("The preparation"));
}

}  // namespace
}  // namespace yoke
