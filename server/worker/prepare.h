// Looks at everything a job needs before it computes: data set, weights, folders to write to.
// As the first phase of an attempt it also leaves the scan in the caches, so that ranks find it
// there; as a check before a job is accepted it is the daemon's only look at files.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/ipc/attempt_files.h"
#include "nlohmann/json.hpp"
#include "server/worker/spec_reader.h"

namespace yoke::worker {

// Hears of what goes on, on the caller's thread.
struct CheckListener {
  std::function<void(const std::string& sentence)> warn;      // one sentence may come several times
  std::function<void(int64_t done, int64_t total)> progress;  // images scanned; may be empty
};

// `job`: of `attempt`, its inputs resolved. The error is the first thing that would end the job:
// FILE:LINE where there is a line, and what to do.
absl::Status CheckJob(const ipc::AttemptSpec& attempt, const Job& job, CheckListener listener);

struct Prepared {
  std::vector<std::string> banner;
  std::vector<std::string> warnings;  // the job's own and the check's: the first 100, each once
};

// Reads the job, resolves and checks it. Errors as CheckJob.
absl::StatusOr<Prepared> Prepare(const ipc::AttemptSpec& attempt);

// One line for the daemon: {"ok":true,"banner":[…],"warnings":[…]} or
// {"ok":false,"reason":"BAD_INPUT","message":"…"}.
nlohmann::json PrepareAnswer(const absl::StatusOr<Prepared>& prepared);

}  // namespace yoke::worker
