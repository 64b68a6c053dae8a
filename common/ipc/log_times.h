// When a log was how long: a line a second, "BYTES MILLISECONDS", beside the log as LOG.times.
// Written by the shim, so that a log, whose lines carry no time, can be read from a moment on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace yoke::ipc {

inline constexpr char kLogTimesSuffix[] = ".times";

// Of one fixed length.
std::string LogTimesLine(int64_t bytes, int64_t epoch_ms);

// How long the log was at `epoch_ms`, by the content of LOG.times: the last length noted then or
// earlier, 0 if there is none.
int64_t LengthAt(std::string_view times, int64_t epoch_ms);
// The first length noted then or later; -1 if there is none.
int64_t LengthAfter(std::string_view times, int64_t epoch_ms);

}  // namespace yoke::ipc
