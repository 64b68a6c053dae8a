#include "client/lib/exit_code.h"

namespace yoke::client {

const std::vector<ExitCodeMeaning>& ExitCodeMeanings() {
  static const std::vector<ExitCodeMeaning> meanings = {
      {kOk, "done"},
      {kError, "error"},
      {kUsage, "usage: a key, value, file or device cannot be used"},
      {kNotFound, "not found"},
      {kDenied, "denied"},
      {kUnreachable, "server unreachable"},
      {kPrecondition, "precondition or conflict"},
      {kTimedOut, "timed out"},
      {kJobFailed, "job failed"},
      {kJobCancelled, "job cancelled"},
      {kJobLost, "job lost: it ended without a trace of how"},
      {kInterrupted, "interrupted (Ctrl-C detaches; the job goes on)"},
  };
  return meanings;
}

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return kUsage;
    case absl::StatusCode::kNotFound:
      return kNotFound;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kDenied;
    case absl::StatusCode::kUnavailable:
      return kUnreachable;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kResourceExhausted:
      return kPrecondition;
    case absl::StatusCode::kDeadlineExceeded:
      return kTimedOut;
    case absl::StatusCode::kCancelled:
      return kInterrupted;
    default:
      return kError;
  }
}

ExitCode ExitCodeOf(const v1::Job& job) {
  switch (job.state()) {
    case v1::Job::FAILED:
      return job.reason() == v1::JobReason::LOST ? kJobLost : kJobFailed;
    case v1::Job::CANCELLED:
      return kJobCancelled;
    case v1::Job::TIMED_OUT:
      return kTimedOut;
    default:
      return kOk;
  }
}

bool HasEnded(v1::Job::State state) {
  return state == v1::Job::SUCCEEDED || state == v1::Job::FAILED || state == v1::Job::CANCELLED ||
         state == v1::Job::TIMED_OUT;
}

}  // namespace yoke::client
