// Sizes as people type them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace yoke::cli {

// "4GiB", "512MiB", "1.5G", "800M"; each stands for powers of 1024. InvalidArgument, naming
// `option`, for anything else.
absl::StatusOr<int64_t> ParseBytes(const std::string& option, const std::string& text);

}  // namespace yoke::cli
