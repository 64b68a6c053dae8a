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

namespace yoke::worker {

struct Prepared {
  std::vector<std::string> banner;
  std::vector<std::string> warnings;  // the first 100, each once
};

// Hears of what goes on, on the caller's thread.
struct PrepareListener {
  std::function<void(int64_t done, int64_t total)> progress;  // images scanned
  std::function<void(const std::string& sentence)> warn;      // every warning, again and again
};

// The error is the first thing that would end the job: FILE:LINE where there is a line, and what to
// do.
absl::StatusOr<Prepared> Prepare(const ipc::AttemptSpec& attempt, PrepareListener listener = {});

// One line for the daemon: {"ok":true,"banner":[…],"warnings":[…]} or
// {"ok":false,"reason":"BAD_INPUT","message":"…"}.
nlohmann::json PrepareAnswer(const absl::StatusOr<Prepared>& prepared);

}  // namespace yoke::worker
