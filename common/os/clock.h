// Time of day for records that people read, and a clock that never jumps for time-outs.
#pragma once

#include <cstdint>
#include <string>

namespace yoke::os {

// Seconds since the epoch. May jump: only for showing.
double EpochSeconds();

// Milliseconds since boot, suspension included. Never goes back: for time-outs.
int64_t BootMilliseconds();

// RFC 3339, UTC, milliseconds: "2024-05-01T10:20:30.123Z".
std::string Rfc3339(double epoch_seconds);

}  // namespace yoke::os
