// Looks at everything a job needs before its ranks start: data set, weights, folders to write to.
// As the first phase of an attempt it also leaves the scan in the caches, so that ranks find it
// there; as a check before a job is accepted it is the daemon's only look at files.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/ipc/attempt_files.h"
#include "nlohmann/json.hpp"

namespace yoke::worker {

struct Prepared {
  std::vector<std::string> banner;
  std::vector<std::string> warnings;
};

// The error is the first thing that would end the job: FILE:LINE where there is a line, and what to
// do.
absl::StatusOr<Prepared> Prepare(const ipc::AttemptSpec& attempt);

// One line for the daemon: {"ok":true,"banner":[…],"warnings":[…]} or
// {"ok":false,"reason":"BAD_INPUT","message":"…"}.
nlohmann::json PrepareAnswer(const absl::StatusOr<Prepared>& prepared);

}  // namespace yoke::worker
