#include "server/launcher/ending.h"

#include <gtest/gtest.h>

#include "google/protobuf/util/time_util.h"
#include "server/jobs/transitions.h"

namespace yoke::launcher {
namespace {

using v1::Attempt;
using v1::Job;
using v1::JobReason;

Job Running(int attempts) {
  Job job;
  job.set_state(Job::RUNNING);
  for (int i = 1; i <= attempts; ++i) {
    job.add_attempts()->set_number(i);
    if (i < attempts) job.mutable_attempts(i - 1)->set_outcome(Attempt::LOST);
  }
  return job;
}

Ending FailedWith(JobReason::Code reason) {
  Ending ending;
  ending.outcome = Attempt::FAILED;
  ending.reason = reason;
  ending.message = "rank 0 ended with exit code 3.";
  ending.has_error = true;
  ending.error.set_exit_code(3);
  return ending;
}

constexpr absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

TEST(Ending, ALostJobWaitsWithItsTimeAndSaysWhichTryIsNext) {
  Job job = Running(1);
  ASSERT_TRUE(Apply(LostEnding(false, true), {}, kNow, job).ok());
  EXPECT_EQ(job.state(), Job::QUEUED);
  EXPECT_EQ(job.reason(), JobReason::WAITING_FOR_RETRY);
  EXPECT_EQ(job.message(),
            "tries again in 1 s (attempt 2 of 3): The machine was restarted while it ran.");
  EXPECT_EQ(job.next_attempt_time().seconds(), 1'700'000'001);
  EXPECT_EQ(job.attempts(0).outcome(), Attempt::LOST);
  EXPECT_FALSE(job.has_error());
  EXPECT_FALSE(job.has_end_time());
}

TEST(Ending, TheLastTryEndsTheJobAndSaysHowOftenItWasTried) {
  Job job = Running(3);
  ASSERT_TRUE(Apply(LostEnding(false, false), {}, kNow, job).ok());
  EXPECT_EQ(job.state(), Job::FAILED);
  EXPECT_EQ(job.reason(), JobReason::LOST);
  EXPECT_NE(job.message().find("It was tried 3 times. Submit it again with resume=JOB"),
            std::string::npos)
      << job.message();
  EXPECT_FALSE(job.has_next_attempt_time());
  EXPECT_TRUE(job.has_error());
}

TEST(Ending, AProgramThatFailsIsTriedAgainOnlyIfTheSettingsSaySo) {
  Job job = Running(1);
  ASSERT_TRUE(Apply(FailedWith(JobReason::RANK_FAILED), {}, kNow, job).ok());
  EXPECT_EQ(job.state(), Job::FAILED);
  job = Running(2);
  ASSERT_TRUE(
      Apply(FailedWith(JobReason::RANK_FAILED), {.lost_max = 1, .failed_max = 4}, kNow, job).ok());
  EXPECT_EQ(job.state(), Job::QUEUED);
  EXPECT_EQ(job.message(), "tries again in 2 s (attempt 3 of 4): rank 0 ended with exit code 3.");
  EXPECT_EQ(job.attempts(1).error().exit_code(), 3);
}

TEST(Ending, WhatWouldEndTheSameWayIsNeverTriedAgain) {
  for (const JobReason::Code reason :
       {JobReason::BAD_INPUT, JobReason::CUDA_UNAVAILABLE, JobReason::SPAWN_FAILED}) {
    Job job = Running(1);
    ASSERT_TRUE(Apply(FailedWith(reason), {.lost_max = 9, .failed_max = 9}, kNow, job).ok());
    EXPECT_EQ(job.state(), Job::FAILED) << JobReason::Code_Name(reason);
    EXPECT_EQ(job.reason(), reason);
  }
}

TEST(Ending, AJobThatWasAskedToStopIsNotTriedAgain) {
  Job job = Running(1);
  ASSERT_TRUE(Apply(LostEnding(true, false), {}, kNow, job).ok());
  EXPECT_EQ(job.state(), Job::CANCELLED);
  job = Running(1);
  job.set_state(Job::STOPPING);
  ASSERT_TRUE(Apply(FailedWith(JobReason::RANK_FAILED), {.failed_max = 9}, kNow, job).ok());
  EXPECT_EQ(job.state(), Job::FAILED);
}

TEST(Ending, AnAttemptStoppedForAnotherJobIsNoFailedTry) {
  Job job = Running(3);
  job.mutable_attempts(0)->set_outcome(Attempt::PREEMPTED);
  ASSERT_TRUE(Apply(LostEnding(false, false), {}, kNow, job).ok());
  EXPECT_EQ(job.message().substr(0, 44), "tries again in 2 s (attempt 3 of 3): Its sup");
}

TEST(Ending, TheWaitDoublesUpToAMinute) {
  const int seconds[] = {1, 2, 4, 8, 16, 32, 60, 60};
  for (int attempt = 1; attempt <= 8; ++attempt)
    EXPECT_EQ(RetryDelay(attempt), absl::Seconds(seconds[attempt - 1]));
  EXPECT_EQ(RetryDelay(1000), absl::Seconds(60));
}

jobs::JobRecord RunningRecord(int attempts = 1) {
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
    for (const Ending& ending : {Ended("cancelled"), LostEnding(true, false), CancelledBeforeStart()}) {
      jobs::JobRecord record = RunningRecord();
      ASSERT_TRUE(jobs::StopAttempt(record, {c.reason, 5, "", "other"}).ok());
      ASSERT_TRUE(EndAttempt(ending, {.lost_max = 1}, absl::UnixEpoch(), record).ok()) << c.reason;
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
    jobs::JobRecord done = RunningRecord(), failed = RunningRecord();
    ASSERT_TRUE(jobs::StopAttempt(done, {reason, 5, "", ""}).ok());
    ASSERT_TRUE(jobs::StopAttempt(failed, {reason, 5, "", ""}).ok());
    ASSERT_TRUE(EndAttempt(Ended("succeeded"), {.lost_max = 1}, absl::UnixEpoch(), done).ok());
    ASSERT_TRUE(EndAttempt(Ended("failed"), {.lost_max = 1}, absl::UnixEpoch(), failed).ok());
    EXPECT_EQ(done.public_job.state(), Job::SUCCEEDED);
    EXPECT_EQ(failed.public_job.state(), Job::FAILED);
  }
}

TEST(Ending, PreemptedAttemptsAreNoTriesOfAJobThatIsLost) {
  jobs::JobRecord record = RunningRecord(3);
  record.public_job.mutable_attempts(0)->set_outcome(Attempt::PREEMPTED);
  record.public_job.mutable_attempts(1)->set_outcome(Attempt::PREEMPTED);
  ASSERT_TRUE(EndAttempt(LostEnding(false, false), {.lost_max = 2}, absl::UnixEpoch(), record).ok());
  EXPECT_EQ(record.public_job.state(), Job::QUEUED);
  record.public_job.set_state(Job::RUNNING);
  record.public_job.add_attempts();
  ASSERT_TRUE(EndAttempt(LostEnding(false, false), {.lost_max = 2}, absl::UnixEpoch(), record).ok());
  EXPECT_EQ(record.public_job.state(), Job::FAILED);
}

TEST(Ending, AFailureOnADeviceThatFailedIsTheDevicesAndIsTriedAgain) {
  for (const auto reason : {JobReason::RANK_FAILED, JobReason::CUDA_UNAVAILABLE, JobReason::HANG}) {
    Ending ending = FailedWith(reason);
    ending.device_fault = "Device GPU-1 failed: XID 79";
    jobs::JobRecord record;
    record.public_job = Running(1);
    ASSERT_TRUE(EndAttempt(ending, {}, kNow, record).ok());
    EXPECT_EQ(record.public_job.state(), Job::QUEUED);
    EXPECT_EQ(record.public_job.reason(), JobReason::WAITING_FOR_RETRY);
    EXPECT_EQ(record.public_job.attempts(0).outcome(), Attempt::FAILED);
    EXPECT_EQ(record.public_job.attempts(0).error().message(), "Device GPU-1 failed: XID 79. rank 0 ended with exit code 3.");
  }
  // Bad input is bad on any device.
  Ending bad = FailedWith(JobReason::BAD_INPUT);
  bad.device_fault = "Device GPU-1 failed: XID 79";
  jobs::JobRecord record;
  record.public_job = Running(1);
  ASSERT_TRUE(EndAttempt(bad, {}, kNow, record).ok());
  EXPECT_EQ(record.public_job.reason(), JobReason::BAD_INPUT);
}

TEST(Ending, AJobThatWasStoppedForItsDeviceWaitsAgainHoweverItsRanksEnded) {
  Ending cancelled = CancelledBeforeStart();
  for (Ending ending : {cancelled, FailedWith(JobReason::RANK_FAILED), LostEnding(true, false), LostEnding(false, false)}) {
    ending.device_fault = "Device GPU-1 failed: XID 48";
    jobs::JobRecord record;
    record.public_job = Running(1);
    ASSERT_TRUE(jobs::StopAttempt(record, {jobs::kStopDevice, 1, "", ""}).ok());
    EXPECT_EQ(record.public_job.reason(), JobReason::DEVICE_LOST);
    ASSERT_TRUE(EndAttempt(ending, {}, kNow, record).ok());
    EXPECT_EQ(record.public_job.state(), Job::QUEUED) << ending.message;
    EXPECT_FALSE(record.stop_requested);
    EXPECT_FALSE(record.public_job.has_next_attempt_time());
    EXPECT_EQ(record.public_job.attempts(0).outcome(), Attempt::PREEMPTED);
    EXPECT_EQ(record.public_job.attempts(0).error().message(), "Device GPU-1 failed: XID 48; waits for another, or for this one.");
  }
  // A cancellation counts more.
  jobs::JobRecord record;
  record.public_job = Running(1);
  ASSERT_TRUE(jobs::StopAttempt(record, {jobs::kStopDevice, 1, "", ""}).ok());
  ASSERT_TRUE(jobs::IntendStop(record, {jobs::kStopCancel, 1, "", ""}, kNow).ok());
  ASSERT_TRUE(EndAttempt(cancelled, {}, kNow, record).ok());
  EXPECT_EQ(record.public_job.state(), Job::CANCELLED);
}

TEST(Ending, WantOfMemoryIsSaidByTheRankAndMeasuredByItsSupervisor) {
  ipc::ExitRecord record;
  record.outcome = "failed";
  record.reason = "OUT_OF_MEMORY";
  record.message = "Rank 0 ran out of memory and ended with exit code 13 (out of memory); its resident memory was at most 312 MiB.";
  record.has_first_failure = true;
  record.first_failure.exit_code = ipc::kWorkerOutOfMemory;
  EXPECT_EQ(EndingOf(record, {}).reason, JobReason::OUT_OF_MEMORY);
  EXPECT_EQ(EndingOf(record, {}).message, record.message);
  Report report;
  report.error_reason = "OUT_OF_MEMORY";
  report.error_message = "out of memory; lower batch";
  EXPECT_EQ(EndingOf(record, report).message, "out of memory; lower batch. " + record.message);
}

}  // namespace
}  // namespace yoke::launcher
