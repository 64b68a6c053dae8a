// Processes of an attempt that left its groups: children that were handed to the shim as their
// reaper, any process that carries the attempt's marker, and all of its control group.
#pragma once

#include <cstdint>
#include <string>

namespace yoke::shim {

struct StraySweep {
  int64_t killed = 0;
  int64_t left = 0;  // still there after the limit: the kernel holds them
  bool none_left = false;  // no child, so no descendant, and nobody in the control group
};

// Kills until none is left, for at most `limit_seconds`, and removes the attempt's control group
// (`cgroup`; empty: none). Where there is no group all are stopped before any is killed, so that
// what forks faster than it is killed cannot get away. REQUIRES: no child is wanted any more.
StraySweep KillStrays(const std::string& run_id, const std::string& cgroup, double limit_seconds);

}  // namespace yoke::shim
