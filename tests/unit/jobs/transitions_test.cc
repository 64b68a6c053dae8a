#include "server/jobs/transitions.h"

#include <gtest/gtest.h>

#include "absl/strings/cord.h"
#include "absl/time/clock.h"
#include "server/jobs/state_machine.h"

namespace yoke::jobs {
namespace {

using v1::Job;
using v1::JobReason;

JobRecord In(Job::State state) {
  JobRecord record;
  record.public_job.set_state(state);
  return record;
}

std::string ReasonOf(const absl::Status& status) {
  return std::string(status.GetPayload("yoke.reason").value_or(absl::Cord("")));
}

TEST(Transitions, HoldAndReleaseAreForWhatWaits) {
  for (int state = Job::QUEUED; state <= Job::TIMED_OUT; ++state) {
    JobRecord job = In(static_cast<Job::State>(state));
    const bool waits = state == Job::QUEUED || state == Job::HELD;
    const std::string refusal = waits                                ? ""
                                : IsTerminal(job.public_job.state()) ? "JOB_ENDED"
                                                                     : "JOB_NOT_WAITING";
    EXPECT_EQ(ReasonOf(Hold(job)), refusal) << state;
    EXPECT_EQ(job.public_job.state(), waits ? Job::HELD : static_cast<Job::State>(state));
    EXPECT_EQ(ReasonOf(Release(job)), refusal) << state;
    EXPECT_EQ(job.public_job.state(), waits ? Job::QUEUED : static_cast<Job::State>(state));
  }
}

TEST(Transitions, OnlyAnAttemptIsStoppedToWaitAgain) {
  for (int state = Job::QUEUED; state <= Job::TIMED_OUT; ++state) {
    JobRecord job = In(static_cast<Job::State>(state));
    const absl::Status stopped = StopAttempt(job, {kStopRequeue, 3, "", ""});
    const bool runs = state == Job::STARTING || state == Job::RUNNING;
    EXPECT_EQ(stopped.ok(), runs) << state;
    EXPECT_EQ(RequeuesAfterStop(job), runs) << state;
    if (!runs) {
      EXPECT_FALSE(job.stop_requested) << state;
    }
  }
}

TEST(Transitions, ACancellationOverridesAStopAfterWhichTheJobWouldWait) {
  JobRecord job = In(Job::RUNNING);
  ASSERT_TRUE(StopAttempt(job, {kStopPreempt, 10, "", "abc"}).ok());
  EXPECT_EQ(job.public_job.reason(), JobReason::PREEMPTED);
  EXPECT_EQ(job.public_job.message(),
            "Makes room for jobs/abc, which has a higher priority; saves and waits again.");
  ASSERT_TRUE(IntendStop(job, {kStopCancel, 4, "", ""}, absl::Now()).ok());
  EXPECT_EQ(job.stop_reason, kStopCancel);
  EXPECT_EQ(job.stop_grace_seconds, 4);
  EXPECT_EQ(job.public_job.reason(), JobReason::CANCELLED_BY_USER);
  ASSERT_TRUE(IntendStop(job, {kStopCancel, 9, "", ""}, absl::Now()).ok());
  EXPECT_EQ(job.stop_grace_seconds, 4);  // never longer
}

TEST(Transitions, ATimeLimitCutsTheGraceOfAStopThatIsUnderWay) {
  JobRecord job = In(Job::RUNNING);
  ASSERT_TRUE(StopAttempt(job, {kStopRequeue, 600, "", ""}).ok());
  ASSERT_TRUE(StopAttempt(job, {kStopTimeLimit, 0, "", ""}).ok());
  EXPECT_EQ(job.stop_grace_seconds, 0);
  EXPECT_TRUE(RequeuesAfterStop(job));
  ForgetStop(job);
  EXPECT_FALSE(job.stop_requested);
  EXPECT_EQ(job.stop_grace_seconds, 10);
}

TEST(Transitions, WhatWaitsIsCancelledAtOnce) {
  JobRecord job = In(Job::HELD);
  ASSERT_TRUE(IntendStop(job, {kStopCancel, 5, "mistake", ""}, absl::Now()).ok());
  EXPECT_EQ(job.public_job.state(), Job::CANCELLED);
  EXPECT_EQ(job.public_job.message(), "Cancelled before it started. Comment: mistake");
  EXPECT_TRUE(job.public_job.has_end_time());
  EXPECT_EQ(ReasonOf(IntendStop(job, {}, absl::Now())), "JOB_ENDED");
}

TEST(Transitions, OnlyAWaitingJobEndsUnstarted) {
  JobRecord job = In(Job::QUEUED);
  ASSERT_TRUE(EndUnstarted(job, JobReason::DEPENDENCY_FAILED, "never", absl::Now()).ok());
  EXPECT_EQ(job.public_job.state(), Job::FAILED);
  JobRecord held = In(Job::HELD);
  EXPECT_FALSE(EndUnstarted(held, JobReason::DEPENDENCY_FAILED, "never", absl::Now()).ok());
  EXPECT_FALSE(ShowWait(held, JobReason::WAITING_FOR_DEVICES, "waits").ok());
}

}  // namespace
}  // namespace yoke::jobs
