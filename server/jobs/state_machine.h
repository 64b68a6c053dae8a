// The life of a job as one table: which event may follow in which state.
#pragma once

#include "absl/status/statusor.h"
#include "yoke/v1/job.pb.h"

namespace yoke::jobs {

enum class JobEventKind {
  kStart,      // devices leased, attempt created
  kRanksUp,    // its processes run
  kStop,       // somebody asked it to stop
  kSucceeded,  // the attempt ended well
  kFailed,
  kCancelled,  // the attempt ended because of a stop
  kTimedOut,
  kRequeue,    // the attempt is lost, or was stopped for that: another will be made
  kHold,
  kRelease,
};
inline constexpr JobEventKind kAllJobEvents[] = {
    JobEventKind::kStart,     JobEventKind::kRanksUp,  JobEventKind::kStop,    JobEventKind::kSucceeded, JobEventKind::kFailed,
    JobEventKind::kCancelled, JobEventKind::kTimedOut, JobEventKind::kRequeue, JobEventKind::kHold,      JobEventKind::kRelease};

// The state after `event`. FailedPrecondition, naming both, where the event cannot happen.
absl::StatusOr<v1::Job::State> Next(v1::Job::State state, JobEventKind event);

// SUCCEEDED, FAILED, CANCELLED and TIMED_OUT: nothing follows.
bool IsTerminal(v1::Job::State state);
// STARTING, RUNNING or STOPPING: an attempt exists and has not ended.
bool HasLiveAttempt(v1::Job::State state);

const char* EventName(JobEventKind event);

// The message of a job from its submission on, until the scheduler says more.
inline constexpr char kWaitsItsTurn[] = "waits for its turn in the queue";

}  // namespace yoke::jobs
