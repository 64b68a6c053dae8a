// Turns a reader that never waits into one that does. Files are polled: it costs one read of nothing per file,
// needs no watch (of which a system has few), and works on every file system.
#pragma once

#include <algorithm>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace yoke::streams {

// `try_next()` -> StatusOr<optional<Frame>>.
template <typename F>
auto NextWithin(absl::Duration wait, F try_next) -> decltype(try_next()) {
  const absl::Time deadline = absl::Now() + wait;
  absl::Duration pause = absl::Milliseconds(2);
  while (true) {
    auto frame = try_next();
    if (!frame.ok() || frame->has_value()) return frame;
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return frame;
    absl::SleepFor(std::min(pause, left));
    pause = std::min(pause * 2, absl::Milliseconds(50));
  }
}

}  // namespace yoke::streams
