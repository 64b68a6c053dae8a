// Durations as people type them.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace yoke::cli {

// "10s", "1m30s", "2h"; a bare number means seconds. InvalidArgument, naming `option`, for anything else and
// for negative ones.
absl::StatusOr<absl::Duration> ParseDuration(const std::string& option, const std::string& text);

// --grace of verbs that stop jobs: how it is described, and what was given. Empty: negative, the
// daemon's own.
inline constexpr char kGraceHelp[] =
    "Time to save and end before they are killed (default: as yoked --grace-seconds says, 10s)";
absl::StatusOr<absl::Duration> ParseGrace(const std::string& text);

}  // namespace yoke::cli
