#include "server/launcher/ending.h"

#include <gtest/gtest.h>

#include "server/jobs/transitions.h"

namespace yoke::launcher {
namespace {

using v1::Attempt;
using v1::Job;
using v1::JobReason;

jobs::JobRecord Running(int attempts = 1) {
  jobs::JobRecord record;
  record.public_job.set_state(Job::RUNNING);
  for (int i = 0; i < attempts; ++i) record.public_job.add_attempts();
  return record;
}
Ending Ended(const std::string& outcome) {
  ipc::ExitRecord record;
  record.outcome = outcome;
  return EndingOf(record, {});
}

TEST(Ending, AStopIsWhatItWasAskedFor) {
  struct Case {
    const char* reason;
    Job::State state;
    JobReason::Code code;
    Attempt::Outcome outcome;
  };
  for (const Case& c :
       {Case{jobs::kStopCancel, Job::CANCELLED, JobReason::CANCELLED_BY_USER, Attempt::CANCELLED},
        Case{jobs::kStopTimeLimit, Job::TIMED_OUT, JobReason::TIME_LIMIT, Attempt::TIMED_OUT},
        Case{jobs::kStopPreempt, Job::QUEUED, JobReason::PREEMPTED, Attempt::PREEMPTED},
        Case{jobs::kStopRequeue, Job::QUEUED, JobReason::REQUEUED_BY_USER, Attempt::PREEMPTED}}) {
    for (const Ending& ending : {Ended("cancelled"), LostEnding(true), CancelledBeforeStart()}) {
      jobs::JobRecord record = Running();
      ASSERT_TRUE(jobs::StopAttempt(record, {c.reason, 5, "", "other"}).ok());
      ASSERT_TRUE(EndAttempt(ending, 1, absl::UnixEpoch(), record).ok()) << c.reason;
      EXPECT_EQ(record.public_job.state(), c.state) << c.reason;
      EXPECT_EQ(record.public_job.reason(), c.code) << c.reason;
      // A cancelled job's attempt may be lost all the same.
      const bool cancel = c.state == Job::CANCELLED;
      EXPECT_EQ(record.public_job.attempts(0).outcome(), cancel ? ending.outcome : c.outcome)
          << c.reason;
      EXPECT_EQ(record.public_job.has_end_time(), c.state != Job::QUEUED) << c.reason;
      EXPECT_EQ(record.stop_requested, c.state != Job::QUEUED) << c.reason;
    }
  }
}

TEST(Ending, AStopThatCameTooLateChangesNothing) {
  for (const char* reason : {jobs::kStopTimeLimit, jobs::kStopPreempt}) {
    jobs::JobRecord done = Running(), failed = Running();
    ASSERT_TRUE(jobs::StopAttempt(done, {reason, 5, "", ""}).ok());
    ASSERT_TRUE(jobs::StopAttempt(failed, {reason, 5, "", ""}).ok());
    ASSERT_TRUE(EndAttempt(Ended("succeeded"), 1, absl::UnixEpoch(), done).ok());
    ASSERT_TRUE(EndAttempt(Ended("failed"), 1, absl::UnixEpoch(), failed).ok());
    EXPECT_EQ(done.public_job.state(), Job::SUCCEEDED);
    EXPECT_EQ(failed.public_job.state(), Job::FAILED);
  }
}

TEST(Ending, PreemptedAttemptsAreNoTriesOfAJobThatIsLost) {
  jobs::JobRecord record = Running(3);
  record.public_job.mutable_attempts(0)->set_outcome(Attempt::PREEMPTED);
  record.public_job.mutable_attempts(1)->set_outcome(Attempt::PREEMPTED);
  ASSERT_TRUE(EndAttempt(LostEnding(false), 2, absl::UnixEpoch(), record).ok());
  EXPECT_EQ(record.public_job.state(), Job::QUEUED);
  record.public_job.set_state(Job::RUNNING);
  record.public_job.add_attempts();
  ASSERT_TRUE(EndAttempt(LostEnding(false), 2, absl::UnixEpoch(), record).ok());
  EXPECT_EQ(record.public_job.state(), Job::FAILED);
}

}  // namespace
}  // namespace yoke::launcher
