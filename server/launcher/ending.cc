#include "server/launcher/ending.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/time_util.h"

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
    ending.message = record.message;
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

Ending LostEnding(bool stop_requested) {
  Ending ending;
  ending.outcome = Attempt::LOST;
  ending.reason = stop_requested ? JobReason::CANCELLED_BY_USER : JobReason::LOST;
  ending.message = stop_requested ? "Stopped; its supervisor died before it could say how it ended."
                                  : "Its supervisor died and left no record of how it ended (killed, or the machine went down); its processes "
                                    "were ended. Submit it again with resume=JOB to continue from its last checkpoint.";
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

bool MayBeTriedAgain(const Ending& ending) {
  if (ending.outcome == Attempt::LOST) return ending.reason != JobReason::CANCELLED_BY_USER;
  return ending.outcome == Attempt::FAILED && (ending.reason == JobReason::HANG || ending.reason == JobReason::DEVICE_LOST);
}

JobEventKind EventOf(const Ending& ending, bool may_retry) {
  switch (ending.outcome) {
    case Attempt::SUCCEEDED: return JobEventKind::kSucceeded;
    case Attempt::CANCELLED: return JobEventKind::kCancelled;
    case Attempt::TIMED_OUT: return JobEventKind::kTimedOut;
    case Attempt::LOST:
      if (ending.reason == JobReason::CANCELLED_BY_USER) return JobEventKind::kCancelled;
      return may_retry ? JobEventKind::kRequeue : JobEventKind::kFailed;
    default: return may_retry && MayBeTriedAgain(ending) ? JobEventKind::kRequeue : JobEventKind::kFailed;
  }
}

absl::Status Apply(const Ending& ending, bool may_retry, absl::Time now, v1::Job& job) {
  const JobEventKind event = EventOf(ending, may_retry);
  YOKE_RETURN_IF_ERROR(Move(job, event));
  if (job.attempts_size() > 0) {
    Attempt& attempt = *job.mutable_attempts(job.attempts_size() - 1);
    attempt.set_outcome(ending.outcome);
    *attempt.mutable_end_time() = ToTimestamp(now);
    attempt.set_shim_pid(0);
    if (ending.has_error) *attempt.mutable_error() = ending.error;
  }
  job.set_reason(ending.reason);
  job.set_message(ending.message);
  if (!jobs::IsTerminal(job.state())) return absl::OkStatus();
  *job.mutable_end_time() = ToTimestamp(now);
  if (ending.has_error) *job.mutable_error() = ending.error;
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
