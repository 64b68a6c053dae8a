#include "server/worker/failure.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace yoke::worker {
namespace {

constexpr char kReasonPayload[] = "yoke.reason";
constexpr char kCuda[] = "CUDA_UNAVAILABLE";
constexpr char kMemory[] = "OUT_OF_MEMORY";

absl::Status WithReason(absl::Status status, const char* reason) {
  status.SetPayload(kReasonPayload, absl::Cord(reason));
  return status;
}

std::string OneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 32; }, ' ');
  return std::string(absl::StripAsciiWhitespace(text));
}

// LibTorch, CUDA and the system each have words of their own for it.
bool SpeaksOfMemory(const std::string& message) {
  for (const char* words :
       {"out of memory", "t allocate memory", "annot allocate memory", "bad_alloc"}) {
    if (absl::StrContains(message, words)) return true;
  }
  return false;
}

bool SpeaksOfPeers(const std::string& message) {
  return absl::StrContains(message, "other rank") || absl::StrContains(message, "another rank");
}

bool SpeaksOfDisk(const std::string& message) {
  for (const char* words : {"space left", "quota exceeded", "isk full"}) {
    if (absl::StrContains(message, words)) return true;
  }
  return false;
}

}  // namespace

absl::Status CudaUnavailable(const std::string& message) {
  return WithReason(absl::FailedPreconditionError(message), kCuda);
}

absl::Status OutOfMemory(const std::string& message) {
  return WithReason(absl::ResourceExhaustedError(message), kMemory);
}

Failure FailureOf(const absl::Status& status) {
  Failure failure;
  failure.message = OneLine(std::string(status.message()));
  if (failure.message.empty()) failure.message = absl::StatusCodeToString(status.code());
  const absl::optional<absl::Cord> payload = status.GetPayload(kReasonPayload);
  const std::string reason = payload ? std::string(*payload) : std::string();
  const auto is = [&failure](ipc::WorkerExit exit, const char* name) {
    failure.exit = exit;
    failure.reason = name;
    return failure;
  };
  if (reason == kCuda) return is(ipc::kWorkerCudaUnavailable, kCuda);
  if (reason == kMemory) return is(ipc::kWorkerOutOfMemory, kMemory);
  switch (status.code()) {
    case absl::StatusCode::kCancelled:
      return is(ipc::kWorkerStopped, "");
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kDataLoss:
      return is(ipc::kWorkerBadInput, "BAD_INPUT");
    case absl::StatusCode::kUnavailable:
      // Also what a disk or a network folder says that cannot be read now.
      if (!SpeaksOfPeers(failure.message)) break;
      return is(ipc::kWorkerError, "RANK_FAILED");
    default:
      break;
  }
  if (SpeaksOfDisk(failure.message)) {
    absl::StrAppend(&failure.message,
                    "; free some space and submit again (resume=JOB continues a training)");
    return is(ipc::kWorkerDiskFull, "DISK_FULL");
  }
  if (SpeaksOfMemory(failure.message)) return is(ipc::kWorkerOutOfMemory, kMemory);
  return is(ipc::kWorkerError, "INTERNAL");
}

}  // namespace yoke::worker
