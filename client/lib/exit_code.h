// The published exit codes of `yoke`, and the one table that maps errors and ended jobs to them.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "yoke/v1/job.pb.h"

namespace yoke::client {

enum ExitCode : int {
  kOk = 0,
  kError = 1,
  kUsage = 2,
  kNotFound = 3,
  kDenied = 4,
  kUnreachable = 5,
  kPrecondition = 6,
  kTimedOut = 7,
  kJobFailed = 10,
  kJobCancelled = 11,
  kJobLost = 12,
  kInterrupted = 130,
};

// Code and meaning, in the order in which they are documented.
struct ExitCodeMeaning {
  ExitCode code;
  const char* meaning;
};
const std::vector<ExitCodeMeaning>& ExitCodeMeanings();

// For an answer that is an error. absl::CancelledError means the user interrupted the call.
ExitCode ExitCodeOf(const absl::Status& status);

// For a job that has ended; kOk for one that has not.
ExitCode ExitCodeOf(const v1::Job& job);

// SUCCEEDED, FAILED, CANCELLED or TIMED_OUT.
bool HasEnded(v1::Job::State state);

}  // namespace yoke::client
