// The shim's judgement, from made-up histories.
#include "server/shim/outcome.h"

#include <signal.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::shim {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Ended Code(int rank, int code) {
  Ended member;
  member.rank = rank;
  member.started = true;
  member.exit.exit_code = code;
  member.exit.max_rss_bytes = 1000;
  return member;
}

Ended Signal(int rank, int signal, bool killed_by_us) {
  Ended member = Code(rank, 0);
  member.exit.signal = signal;
  member.killed = killed_by_us;
  return member;
}

class Outcome : public ::testing::Test {
 protected:
  void AskToStop(const std::string& reason) {
    const ipc::StopRequest request = {reason, 3};
    ASSERT_TRUE(ipc::WriteJsonFile(folder_.path() + "/stop.json", ipc::ToJson(request)).ok());
    stop_.Look(/*signalled=*/true);
  }

  ipc::ExitRecord JudgeRanks(std::vector<Ended> members, std::optional<size_t> first_failure) {
    History history;
    history.ranks = PhaseResult{std::move(members), first_failure, ""};
    return Judge(spec_, stop_, history);
  }

  TempFolder folder_;
  ipc::AttemptSpec spec_;
  Stop stop_{folder_.path() + "/stop.json", 10};
};

TEST_F(Outcome, SucceedsWhenAllEndWell) {
  const auto record = JudgeRanks({Code(0, 0), Code(1, 0)}, std::nullopt);
  EXPECT_EQ(record.outcome, "succeeded");
  EXPECT_EQ(record.peak_rss_bytes, 2000);
}

TEST_F(Outcome, FailsForTheCauseNotForItsConsequences) {
  const auto record = JudgeRanks({Code(0, 1), Signal(1, SIGSEGV, false)}, 1);
  EXPECT_EQ(record.outcome, "failed");
  EXPECT_EQ(record.first_failure.rank, 1);
  EXPECT_EQ(record.message,
            "Rank 1 was killed by signal 11 (SIGSEGV); the other ranks were stopped.");
}

TEST_F(Outcome, AFailureBeforeTheRequestStaysAFailure) {
  AskToStop("cancel");
  EXPECT_EQ(JudgeRanks({Code(0, 11), Code(1, 3)}, 1).outcome, "failed");
}

TEST_F(Outcome, TheRequestNamesTheOutcome) {
  AskToStop("time_limit");
  EXPECT_EQ(JudgeRanks({Code(0, 0), Code(1, 11)}, std::nullopt).outcome, "timed_out");
}

TEST_F(Outcome, AFailureWhileStoppingIsStillCancelled) {
  AskToStop("cancel");
  const auto record = JudgeRanks({Signal(0, SIGKILL, true), Code(1, 1)}, std::nullopt);
  EXPECT_EQ(record.outcome, "cancelled");
  EXPECT_FALSE(record.has_first_failure);
  EXPECT_EQ(record.message,
            "Stopped as asked. Rank 0 did not stop within 3 s and was killed.");
}

TEST_F(Outcome, SaysWhatTheWorkersExitCodesMean) {
  EXPECT_THAT(JudgeRanks({Code(0, 13)}, 0).message, HasSubstr("out of memory"));
  EXPECT_THAT(JudgeRanks({Code(0, 14)}, 0).message, HasSubstr("disk full"));
  EXPECT_THAT(JudgeRanks({Code(0, 12)}, 0).message, HasSubstr("CUDA is not available"));
  EXPECT_THAT(JudgeRanks({Code(0, 11)}, 0).message, HasSubstr("nobody asked"));
  EXPECT_THAT(JudgeRanks({Code(0, 99)}, 0).message, Not(HasSubstr("(")));
}

TEST_F(Outcome, WantOfMemoryIsNamedWithThePeak) {
  Ended eater = Signal(1, SIGKILL, false);
  eater.out_of_memory = true;
  eater.exit.max_rss_bytes = int64_t{300} << 20;
  const auto record = JudgeRanks({Signal(0, SIGTERM, false), eater}, 1);
  EXPECT_EQ(record.reason, "OUT_OF_MEMORY");
  EXPECT_EQ(record.message,
            "Rank 1 ran out of memory and was killed by signal 9 (SIGKILL); its resident memory was at most 300 MiB; the "
            "other ranks were stopped.");
  EXPECT_EQ(record.first_failure.peak_rss_bytes, int64_t{300} << 20);
}

TEST_F(Outcome, AWorkerThatCannotBeExecutedIsNoFailureOfTheRank) {
  EXPECT_EQ(JudgeRanks({Code(0, 127)}, 0).reason, "SPAWN_FAILED");
}

TEST_F(Outcome, OneThatNeverStartedIsNamedAndNotListed) {
  Ended never = Code(1, 127);
  never.started = false;
  History history;
  history.ranks = PhaseResult{{Signal(0, SIGTERM, false), never}, 1, "cannot start X: no memory"};
  const auto record = Judge(spec_, stop_, history);
  EXPECT_EQ(record.outcome, "failed");
  EXPECT_EQ(record.message, "Rank 1 could not be started: cannot start X: no memory.");
  EXPECT_EQ(record.ranks.size(), 1u);
}

TEST_F(Outcome, AdmitsWhatCouldNotBeKilled) {
  History history;
  history.ranks = PhaseResult{{Code(0, 0)}, std::nullopt, ""};
  history.strays = {3, 1};
  const auto record = Judge(spec_, stop_, history);
  EXPECT_EQ(record.killed_strays, 3);
  EXPECT_THAT(record.message, HasSubstr("1 of its processes could not be killed"));
}

}  // namespace
}  // namespace yoke::shim
