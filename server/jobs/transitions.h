// What people and the scheduler do to a job between its attempts' events, as edits of its record. Pure: the caller
// stores what came of it. Every refusal is FailedPrecondition with a sentence, its reason for scripts in the status
// payload "yoke.reason": JOB_ENDED, JOB_NOT_WAITING, JOB_NOT_STARTED, JOB_STOPPING.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/jobs/job_store.h"

namespace yoke::jobs {

// As JobRecord::stop_reason and stop.json say it.
inline constexpr char kStopCancel[] = "cancel";
inline constexpr char kStopTimeLimit[] = "time_limit";
inline constexpr char kStopPreempt[] = "preempt";
inline constexpr char kStopRequeue[] = "requeue";
inline constexpr char kStopDevice[] = "device";  // its device failed

struct StopIntent {
  std::string reason = kStopCancel;
  double grace_seconds = 10;
  std::string comment;  // shown with the job
  std::string for_job;  // of a preemption: the id of the job that gets the devices
};

// Asks a job to stop: at once CANCELLED if it waits, else STOPPING. While it stops already only the grace can become
// shorter, except that a cancellation overrides a stop after which the job would wait again.
absl::Status IntendStop(JobRecord& record, const StopIntent& intent, absl::Time now);

// The same for the scheduler's and the requeueing stops: only of a job that has started and, unless it is the time
// limit that cuts the grace short, does not stop yet.
absl::Status StopAttempt(JobRecord& record, const StopIntent& intent);

absl::Status Hold(JobRecord& record);
absl::Status Release(JobRecord& record);

// Ends a waiting job that can never start.
absl::Status EndUnstarted(JobRecord& record, v1::JobReason::Code reason, const std::string& sentence, absl::Time now);

// Shows what a waiting job waits for.
absl::Status ShowWait(JobRecord& record, v1::JobReason::Code reason, const std::string& sentence);

// Whether the stop that was asked for lets the job wait again.
bool RequeuesAfterStop(const JobRecord& record);
// What a stop left in the record is void for the next attempt.
void ForgetStop(JobRecord& record);

}  // namespace yoke::jobs
