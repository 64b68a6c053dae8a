// Moments as people type them.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace yoke::cli {

// "10m": so long before `now`; "14:30" or "14:30:05": today in `zone`; "2024-05-01 14:30" (also
// with T) in `zone`; "2024-05-01T14:30:05Z" or with another offset. InvalidArgument, naming
// `option`, for anything else.
absl::StatusOr<absl::Time> ParseMoment(const std::string& option, const std::string& text,
                                       absl::Time now, absl::TimeZone zone);

}  // namespace yoke::cli
