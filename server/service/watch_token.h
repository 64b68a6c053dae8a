// The resume token of WatchJobs: how far into the store's sequence of changes its reader is.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace yoke::service {

std::string EncodeWatchToken(int64_t sequence);

// InvalidArgument, reason RESUME_TOKEN_INVALID.
absl::StatusOr<int64_t> DecodeWatchToken(const std::string& token);

}  // namespace yoke::service
