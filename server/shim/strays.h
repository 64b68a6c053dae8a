// Processes of an attempt that left its groups: children that were handed to the shim as their reaper,
// and any process that carries the attempt's marker.
#pragma once

#include <cstdint>
#include <string>

namespace yoke::shim {

struct StraySweep {
  int64_t killed = 0;
  int64_t left = 0;  // still there after the limit: the kernel holds them
};

// Kills until none is left, for at most `limit_seconds`. REQUIRES: no child is wanted any more.
StraySweep KillStrays(const std::string& run_id, double limit_seconds);

}  // namespace yoke::shim
