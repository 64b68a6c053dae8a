#include "server/launcher/ending.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/time_util.h"
#include "server/jobs/transitions.h"

namespace yoke::launcher {
namespace {

using jobs::JobEventKind;
using v1::Attempt;
using v1::JobReason;

JobReason::Code ReasonOfExit(const ipc::RankExit& exit) {
  switch (exit.exit_code) {
    case ipc::kWorkerBadInput: return JobReason::BAD_INPUT;
    case ipc::kWorkerCudaUnavailable: return JobReason::CUDA_UNAVAILABLE;
    case ipc::kWorkerOutOfMemory: return JobReason::OUT_OF_MEMORY;
    case ipc::kWorkerDiskFull: return JobReason::DISK_FULL;
    default: return JobReason::RANK_FAILED;
  }
}

Ending Failed(const ipc::ExitRecord& record, const Report& report) {
  Ending ending;
  ending.outcome = Attempt::FAILED;
  ending.reason = ReasonOfExit(record.first_failure);
  JobReason::Code said;
  if (JobReason::Code_Parse(report.error_reason, &said) && said != JobReason::CODE_UNSPECIFIED) ending.reason = said;
  ending.message = report.error_message.empty() ? record.message : report.error_message;
  // What its supervisor saw counts more than what a rank says while it is being ended.
  if (JobReason::Code_Parse(record.reason, &said)) {
    ending.reason = said;
    // Only the rank knows what it wanted memory for.
    const bool both = said == JobReason::OUT_OF_MEMORY && !report.error_message.empty();
    ending.message = both ? absl::StrCat(report.error_message, ". ", record.message) : record.message;
  }
  ending.has_error = true;
  ending.error.set_rank(record.has_first_failure ? record.first_failure.rank : -1);
  ending.error.set_exit_code(record.first_failure.exit_code);
  ending.error.set_signal(record.first_failure.signal);
  for (const std::string& line : record.last_lines) ending.error.add_last_lines(line);
  ending.error.set_message(ending.message);
  return ending;
}

// Moves the state through the events that must come before: an end can be seen before the start was.
absl::Status Move(v1::Job& job, JobEventKind event) {
  auto next = jobs::Next(job.state(), event);
  if (!next.ok() && jobs::HasLiveAttempt(job.state()) && (event == JobEventKind::kCancelled || event == JobEventKind::kTimedOut)) {
    YOKE_ASSIGN_OR_RETURN(const v1::Job::State stopping, jobs::Next(job.state(), JobEventKind::kStop));
    next = jobs::Next(stopping, event);
  }
  if (!next.ok()) return next.status();
  job.set_state(*next);
  return absl::OkStatus();
}

// What may come of a device that fails under a program.
bool MayBeOfDevice(const Ending& ending) {
  switch (ending.reason) {
    case JobReason::RANK_FAILED:
    case JobReason::CUDA_UNAVAILABLE:
    case JobReason::HANG:
    case JobReason::INTERNAL:
    case JobReason::LOST: return ending.outcome == Attempt::FAILED || ending.outcome == Attempt::LOST;
    default: return false;
  }
}

// Its message as that of the error; of no rank, unless one failed.
void SayInError(Ending& ending) {
  if (!ending.has_error) ending.error.set_rank(-1);
  ending.has_error = true;
  ending.error.set_message(ending.message);
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  return google::protobuf::util::TimeUtil::MillisecondsToTimestamp(absl::ToUnixMillis(time));
}

}  // namespace

Ending EndingOf(const ipc::ExitRecord& record, const Report& failed_rank) {
  Ending ending;
  if (record.outcome == "succeeded") {
    ending.outcome = Attempt::SUCCEEDED;
    ending.reason = JobReason::COMPLETED;
    ending.message = "Completed.";
  } else if (record.outcome == "cancelled") {
    ending.outcome = Attempt::CANCELLED;
    ending.reason = JobReason::CANCELLED_BY_USER;
    ending.message = record.message;
  } else if (record.outcome == "timed_out") {
    ending.outcome = Attempt::TIMED_OUT;
    ending.reason = JobReason::TIME_LIMIT;
    ending.message = record.message;
  } else {
    ending = Failed(record, failed_rank);
  }
  ending.peak_rss_bytes = record.peak_rss_bytes;
  return ending;
}

Ending LostEnding(bool stop_requested, bool rebooted) {
  Ending ending;
  ending.outcome = Attempt::LOST;
  ending.reason = stop_requested ? JobReason::CANCELLED_BY_USER : JobReason::LOST;
  ending.message = stop_requested ? "Stopped; its supervisor died before it could say how it ended."
                   : rebooted     ? "The machine was restarted while it ran."
                                  : "Its supervisor died and left no record of how it ended; its processes were ended.";
  if (!stop_requested) {
    ending.has_error = true;
    ending.error.set_rank(-1);
    ending.error.set_message(ending.message);
  }
  return ending;
}

Ending SpawnFailedEnding(const std::string& why) {
  Ending ending;
  ending.reason = JobReason::SPAWN_FAILED;
  ending.message = absl::StrCat("Its supervisor could not be started: ", why);
  ending.has_error = true;
  ending.error.set_rank(-1);
  ending.error.set_message(ending.message);
  return ending;
}

Ending CancelledBeforeStart() {
  Ending ending;
  ending.outcome = Attempt::CANCELLED;
  ending.reason = JobReason::CANCELLED_BY_USER;
  ending.message = "Cancelled before its processes were started.";
  return ending;
}

int TriesOf(const Ending& ending, const Tries& tries) {
  if (ending.outcome == Attempt::LOST) return ending.reason == JobReason::CANCELLED_BY_USER ? 1 : tries.lost_max;
  if (ending.outcome != Attempt::FAILED) return 1;
  switch (ending.reason) {
    case JobReason::BAD_INPUT:
    case JobReason::CUDA_UNAVAILABLE:
    case JobReason::SPAWN_FAILED: return 1;
    case JobReason::HANG:
    case JobReason::DEVICE_LOST: return tries.lost_max;
    default: return tries.failed_max;
  }
}

absl::Duration RetryDelay(int attempt) { return absl::Seconds(std::min(60, 1 << std::clamp(attempt - 1, 0, 6))); }

Ending AsDeviceLost(Ending ending) {
  if (ending.device_fault.empty() || !MayBeOfDevice(ending)) return ending;
  ending.outcome = Attempt::FAILED;
  ending.reason = JobReason::DEVICE_LOST;
  ending.message = absl::StrCat(ending.device_fault, ". ", ending.message);
  SayInError(ending);
  return ending;
}

Ending AsAsked(Ending ending, const std::string& stop_reason) {
  const bool ended_for_it = EventOf(ending, false) == JobEventKind::kCancelled || MayBeOfDevice(ending);
  if (stop_reason == jobs::kStopDevice && ended_for_it) {
    ending.outcome = Attempt::PREEMPTED;
    ending.reason = JobReason::DEVICE_LOST;
    ending.message = absl::StrCat(ending.device_fault.empty() ? "Its device failed" : ending.device_fault, "; waits for another, or for this one.");
    SayInError(ending);
    return ending;
  }
  if (EventOf(ending, false) != JobEventKind::kCancelled) return ending;
  if (stop_reason == jobs::kStopTimeLimit) {
    ending.outcome = Attempt::TIMED_OUT;
    ending.reason = JobReason::TIME_LIMIT;
    ending.message = "Stopped at its time limit.";
  } else if (stop_reason == jobs::kStopPreempt || stop_reason == jobs::kStopRequeue) {
    const bool preempted = stop_reason == jobs::kStopPreempt;
    ending.outcome = Attempt::PREEMPTED;
    ending.reason = preempted ? JobReason::PREEMPTED : JobReason::REQUEUED_BY_USER;
    ending.message = preempted ? "Stopped for a job of higher priority; waits again." : "Stopped to wait again.";
  }
  return ending;
}

JobEventKind EventOf(const Ending& ending, bool may_retry) {
  switch (ending.outcome) {
    case Attempt::SUCCEEDED: return JobEventKind::kSucceeded;
    case Attempt::CANCELLED: return JobEventKind::kCancelled;
    case Attempt::TIMED_OUT: return JobEventKind::kTimedOut;
    case Attempt::PREEMPTED: return JobEventKind::kRequeue;
    case Attempt::LOST:
      if (ending.reason == JobReason::CANCELLED_BY_USER) return JobEventKind::kCancelled;
      [[fallthrough]];
    default: return may_retry ? JobEventKind::kRequeue : JobEventKind::kFailed;
  }
}

absl::Status Apply(const Ending& ending, const Tries& tries, absl::Time now, v1::Job& job) {
  const int tries_max = TriesOf(ending, tries);
  // An attempt that was stopped for another job is none of its failures.
  const int tried = static_cast<int>(std::count_if(job.attempts().begin(), job.attempts().end(), [](const Attempt& attempt) {
    return attempt.outcome() == Attempt::OUTCOME_UNSPECIFIED || attempt.outcome() == Attempt::LOST || attempt.outcome() == Attempt::FAILED;
  }));
  const bool may_retry = tried > 0 && tried < tries_max && job.state() != v1::Job::STOPPING;
  YOKE_RETURN_IF_ERROR(Move(job, EventOf(ending, may_retry)));
  if (job.attempts_size() > 0) {
    Attempt& attempt = *job.mutable_attempts(job.attempts_size() - 1);
    attempt.set_outcome(ending.outcome);
    *attempt.mutable_end_time() = ToTimestamp(now);
    attempt.set_shim_pid(0);
    if (ending.has_error) *attempt.mutable_error() = ending.error;
  }
  if (!jobs::IsTerminal(job.state()) && ending.outcome != Attempt::PREEMPTED) {
    const absl::Duration delay = RetryDelay(tried);
    *job.mutable_next_attempt_time() = ToTimestamp(now + delay);
    job.set_reason(JobReason::WAITING_FOR_RETRY);
    job.set_message(absl::StrCat("tries again in ", absl::ToInt64Seconds(delay), " s (attempt ", tried + 1, " of ", tries_max, "): ", ending.message));
    return absl::OkStatus();
  }
  job.set_reason(ending.reason);
  job.set_message(ending.message);
  if (!jobs::IsTerminal(job.state())) return absl::OkStatus();
  if (job.state() == v1::Job::FAILED && tried > 1) absl::StrAppend(job.mutable_message(), " It was tried ", tried, " times.");
  if (job.state() == v1::Job::FAILED && ending.outcome == Attempt::LOST) {
    absl::StrAppend(job.mutable_message(), " Submit it again with resume=JOB to continue from its last checkpoint.");
  }
  *job.mutable_end_time() = ToTimestamp(now);
  if (ending.has_error) *job.mutable_error() = ending.error;
  return absl::OkStatus();
}

absl::Status EndAttempt(Ending ending, const Tries& tries, absl::Time now, jobs::JobRecord& record) {
  v1::Job& job = record.public_job;
  ending = record.stop_requested ? AsAsked(std::move(ending), record.stop_reason) : AsDeviceLost(std::move(ending));
  YOKE_RETURN_IF_ERROR(Apply(ending, tries, now, job));
  if (!jobs::IsTerminal(job.state())) jobs::ForgetStop(record);
  return absl::OkStatus();
}

v1::JobResult ResultOf(const Report& rank0, const std::vector<Report>& other_ranks, int64_t peak_rss_bytes, const std::string& run_dir) {
  v1::JobResult result;
  if (!rank0.result.is_object()) return result;
  google::protobuf::util::JsonParseOptions lenient;
  lenient.ignore_unknown_fields = true;
  const auto parse = [&lenient](const nlohmann::json& json, v1::JobResult& into) {
    return google::protobuf::util::JsonStringToMessage(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), &into, lenient).ok();
  };
  if (!parse(rank0.result, result)) result.Clear();
  if (result.has_val() && result.val().run_dir().empty()) result.mutable_val()->set_run_dir(run_dir);
  if (!result.has_train()) return result;
  v1::TrainResult& train = *result.mutable_train();
  if (train.run_dir().empty()) train.set_run_dir(run_dir);
  if (train.peak_rss_bytes() == 0) train.set_peak_rss_bytes(peak_rss_bytes);
  for (const Report& other : other_ranks) {
    v1::JobResult theirs;
    const bool complete = train.weights_checksum_size() >= train.world_size();
    if (complete || !other.result.is_object() || !parse(other.result, theirs)) continue;
    train.mutable_weights_checksum()->MergeFrom(theirs.train().weights_checksum());
  }
  return result;
}

}  // namespace yoke::launcher
