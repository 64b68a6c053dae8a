#include "server/jobs/transitions.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "server/jobs/state_machine.h"

namespace yoke::jobs {
namespace {

using v1::Job;
using v1::JobReason;

absl::Status Refuse(const char* reason, const std::string& sentence) {
  absl::Status status = absl::FailedPreconditionError(sentence);
  status.SetPayload("yoke.reason", absl::Cord(reason));
  return status;
}

absl::Status RefuseEnded(const Job& job) {
  return Refuse("JOB_ENDED", absl::StrCat("The job has ended already: ",
                                          Job::State_Name(job.state()), "."));
}

absl::Status RefuseStarted(const Job& job, const char* what) {
  return Refuse("JOB_NOT_WAITING",
                absl::StrCat("Only a waiting job can be ", what, "; this one is ",
                             Job::State_Name(job.state()), "."));
}

void SetEnd(Job& job, absl::Time now) {
  *job.mutable_end_time() =
      google::protobuf::util::TimeUtil::MillisecondsToTimestamp(absl::ToUnixMillis(now));
}

// The words for a job that was asked to stop.
void Show(Job& job, const StopIntent& intent) {
  if (intent.reason == kStopCancel) {
    job.set_reason(JobReason::CANCELLED_BY_USER);
    job.set_message("Asked to stop; saves and ends.");
  } else if (intent.reason == kStopTimeLimit) {
    job.set_reason(JobReason::TIME_LIMIT);
    job.set_message("Reaches its time limit; saves and ends.");
  } else if (intent.reason == kStopDevice) {
    job.set_reason(JobReason::DEVICE_LOST);
    job.set_message("Its device failed; ends and waits again.");
  } else {
    const bool preempted = intent.reason == kStopPreempt;
    job.set_reason(preempted ? JobReason::PREEMPTED : JobReason::REQUEUED_BY_USER);
    job.set_message(preempted ? absl::StrCat("Makes room for jobs/", intent.for_job,
                                             ", which has a higher priority; saves and waits again.")
                              : "Asked to stop; saves and waits again.");
  }
  if (!intent.comment.empty()) {
    job.set_message(absl::StrCat(job.message(), " Comment: ", intent.comment));
  }
}

}  // namespace

absl::Status IntendStop(JobRecord& record, const StopIntent& intent, absl::Time now) {
  Job& job = record.public_job;
  if (job.state() == Job::STOPPING) {
    record.stop_grace_seconds = std::min(record.stop_grace_seconds, intent.grace_seconds);
    if (intent.reason == kStopCancel && RequeuesAfterStop(record)) {
      record.stop_reason = kStopCancel;
      Show(job, intent);
    }
    return absl::OkStatus();
  }
  const auto next = Next(job.state(), JobEventKind::kStop);
  if (!next.ok()) return RefuseEnded(job);
  job.set_state(*next);
  job.clear_next_attempt_time();
  record.stop_requested = true;
  record.stop_reason = intent.reason;
  record.stop_grace_seconds = intent.grace_seconds;
  Show(job, intent);
  if (!IsTerminal(*next)) return absl::OkStatus();
  job.set_message("Cancelled before it started.");
  if (!intent.comment.empty()) {
    job.set_message(absl::StrCat(job.message(), " Comment: ", intent.comment));
  }
  SetEnd(job, now);
  return absl::OkStatus();
}

absl::Status StopAttempt(JobRecord& record, const StopIntent& intent) {
  Job& job = record.public_job;
  if (IsTerminal(job.state())) return RefuseEnded(job);
  if (job.state() == Job::STOPPING && intent.reason != kStopTimeLimit) {
    return Refuse("JOB_STOPPING", "The job is being stopped already.");
  }
  if (!HasLiveAttempt(job.state())) {
    return Refuse("JOB_NOT_STARTED",
                  absl::StrCat("The job has not started: it is ", Job::State_Name(job.state()),
                               job.state() == Job::HELD ? "; release it." : " already."));
  }
  return IntendStop(record, intent, absl::InfinitePast());
}

absl::Status Hold(JobRecord& record) {
  Job& job = record.public_job;
  if (job.state() == Job::HELD) return absl::OkStatus();
  if (IsTerminal(job.state())) return RefuseEnded(job);
  const auto next = Next(job.state(), JobEventKind::kHold);
  if (!next.ok()) return RefuseStarted(job, "held");
  job.set_state(*next);
  job.set_reason(JobReason::HELD_BY_USER);
  job.set_message("Held until it is released.");
  return absl::OkStatus();
}

absl::Status Release(JobRecord& record) {
  Job& job = record.public_job;
  if (job.state() == Job::QUEUED) return absl::OkStatus();
  if (IsTerminal(job.state())) return RefuseEnded(job);
  const auto next = Next(job.state(), JobEventKind::kRelease);
  if (!next.ok()) return RefuseStarted(job, "released");
  job.set_state(*next);
  job.set_reason(JobReason::CODE_UNSPECIFIED);
  job.clear_message();
  return absl::OkStatus();
}

absl::Status EndUnstarted(JobRecord& record, JobReason::Code reason, const std::string& sentence,
                          absl::Time now) {
  Job& job = record.public_job;
  if (job.state() != Job::QUEUED) return RefuseStarted(job, "ended");
  job.set_state(*Next(job.state(), JobEventKind::kFailed));
  job.set_reason(reason);
  job.set_message(sentence);
  SetEnd(job, now);
  return absl::OkStatus();
}

absl::Status ShowWait(JobRecord& record, JobReason::Code reason, const std::string& sentence) {
  Job& job = record.public_job;
  if (job.state() != Job::QUEUED) return RefuseStarted(job, "explained");
  job.set_reason(reason);
  job.set_message(sentence);
  return absl::OkStatus();
}

bool RequeuesAfterStop(const JobRecord& record) {
  return record.stop_requested &&
         (record.stop_reason == kStopPreempt || record.stop_reason == kStopRequeue ||
          record.stop_reason == kStopDevice);
}

void ForgetStop(JobRecord& record) {
  record.stop_requested = false;
  record.stop_reason.clear();
  record.stop_grace_seconds = JobRecord().stop_grace_seconds;
}

}  // namespace yoke::jobs
