#include "server/jobs/state_machine.h"

#include "absl/strings/str_cat.h"

namespace yoke::jobs {
namespace {

using v1::Job;

struct Transition {
  Job::State from;
  JobEventKind event;
  Job::State to;
};

constexpr Transition kTransitions[] = {
    {Job::QUEUED, JobEventKind::kStart, Job::STARTING},
    {Job::QUEUED, JobEventKind::kStop, Job::CANCELLED},
    {Job::QUEUED, JobEventKind::kHold, Job::HELD},
    {Job::QUEUED, JobEventKind::kFailed, Job::FAILED},  // its devices are gone for good
    {Job::HELD, JobEventKind::kRelease, Job::QUEUED},
    {Job::HELD, JobEventKind::kStop, Job::CANCELLED},
    {Job::STARTING, JobEventKind::kRanksUp, Job::RUNNING},
    {Job::STARTING, JobEventKind::kStop, Job::STOPPING},
    {Job::STARTING, JobEventKind::kSucceeded, Job::SUCCEEDED},
    {Job::STARTING, JobEventKind::kFailed, Job::FAILED},
    {Job::STARTING, JobEventKind::kRequeue, Job::QUEUED},
    {Job::RUNNING, JobEventKind::kStop, Job::STOPPING},
    {Job::RUNNING, JobEventKind::kSucceeded, Job::SUCCEEDED},
    {Job::RUNNING, JobEventKind::kFailed, Job::FAILED},
    {Job::RUNNING, JobEventKind::kTimedOut, Job::TIMED_OUT},
    {Job::RUNNING, JobEventKind::kRequeue, Job::QUEUED},
    // A stop may lose the race against any other end.
    {Job::STOPPING, JobEventKind::kCancelled, Job::CANCELLED},
    {Job::STOPPING, JobEventKind::kSucceeded, Job::SUCCEEDED},
    {Job::STOPPING, JobEventKind::kFailed, Job::FAILED},
    {Job::STOPPING, JobEventKind::kTimedOut, Job::TIMED_OUT},
    {Job::STOPPING, JobEventKind::kRequeue, Job::QUEUED},  // it was stopped to wait again
};

}  // namespace

absl::StatusOr<Job::State> Next(Job::State state, JobEventKind event) {
  for (const Transition& t : kTransitions) {
    if (t.from == state && t.event == event) return t.to;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("a job that is ", Job::State_Name(state), " cannot take the event '", EventName(event), "'"));
}

bool IsTerminal(Job::State state) {
  return state == Job::SUCCEEDED || state == Job::FAILED || state == Job::CANCELLED || state == Job::TIMED_OUT;
}

bool HasLiveAttempt(Job::State state) {
  return state == Job::STARTING || state == Job::RUNNING || state == Job::STOPPING;
}

const char* EventName(JobEventKind event) {
  switch (event) {
    case JobEventKind::kStart: return "start";
    case JobEventKind::kRanksUp: return "ranks up";
    case JobEventKind::kStop: return "stop";
    case JobEventKind::kSucceeded: return "succeeded";
    case JobEventKind::kFailed: return "failed";
    case JobEventKind::kCancelled: return "cancelled";
    case JobEventKind::kTimedOut: return "timed out";
    case JobEventKind::kRequeue: return "requeue";
    case JobEventKind::kHold: return "hold";
    case JobEventKind::kRelease: return "release";
  }
  return "unknown";
}

}  // namespace yoke::jobs
