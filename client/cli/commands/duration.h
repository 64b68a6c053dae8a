// Durations as people type them.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace yoke::cli {

// "10s", "1m30s", "2h"; a bare number means seconds. InvalidArgument, naming `option`, for anything else and
// for negative ones.
absl::StatusOr<absl::Duration> ParseDuration(const std::string& option, const std::string& text);

}  // namespace yoke::cli
