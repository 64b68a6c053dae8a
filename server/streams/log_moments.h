// From moments to places in a log, by what the shim noted beside it (common/ipc/log_times.h): good
// to a second.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/streams/pump.h"

namespace yoke::streams {

struct LogMoments {
  int64_t begin = 0, end = kNever;
};

// What of the log `path` was written between two moments, and at most a second around them. Without
// notes it is all of the log or, if it was not written to since, nothing.
LogMoments FindMoments(const std::string& path, std::optional<absl::Time> since,
                       std::optional<absl::Time> until);

}  // namespace yoke::streams
