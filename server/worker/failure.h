// What an error means outside: the worker's exit code, the reason that scripts match and one line
// for people.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "common/ipc/attempt_files.h"

namespace yoke::worker {

struct Failure {
  ipc::WorkerExit exit = ipc::kWorkerError;
  std::string reason;   // a JobReason.Code name; empty for kWorkerStopped
  std::string message;  // one line: what, where, what to do
};

// An error about data, weights or settings is BAD_INPUT and never retried; a lost peer is
// RANK_FAILED; Cancelled is kWorkerStopped. REQUIRES: `status` is not OK.
Failure FailureOf(const absl::Status& status);

// Errors whose status code alone would be taken for bad input.
absl::Status CudaUnavailable(const std::string& message);
absl::Status OutOfMemory(const std::string& message);

}  // namespace yoke::worker
