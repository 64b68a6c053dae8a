// Whether a rank ended because memory ran out, and who goes first when it does: a rank, never its
// shim.
#pragma once

#include <cstdint>
#include <string>

#include "common/os/process.h"

namespace yoke::shim {

inline constexpr int kShimOomScore = -800;  // granted to a privileged shim only
inline constexpr int kRankOomScore = 500;

// How often the kernel has ended a process because memory ran out: of this group of processes where
// the memory controller tells (`cgroup`, may be empty), else of the machine. 0 where nothing tells.
int64_t OomKills(const std::string& cgroup);

// `kernel_killed`: the kernel has ended a process for want of memory since this one was started.
// `log`: the output of the process, which says so if an allocation failed and nobody caught that.
bool DiedOfMemory(const os::ExitStatus& exit, bool kernel_killed, const std::string& log);

}  // namespace yoke::shim
