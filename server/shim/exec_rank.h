// The step between the shim and a worker. posix_spawn cannot ask for a death signal, so the shim
// starts itself in this mode, which asks for it and then becomes the worker.
#pragma once

namespace yoke::shim {

inline constexpr char kExecRankFlag[] = "--exec-rank";
inline constexpr int kExecFailed = 127;  // as a shell says it

// In the environment: the control group to join, and how many processes the user may have from then on. Not passed on.
inline constexpr char kCgroupVariable[] = "YOKE_SHIM_CGROUP";
inline constexpr char kProcessesVariable[] = "YOKE_SHIM_PROCESSES";

// argv: yoke-shim --exec-rank SHIM_PID PROGRAM [ARG...]. The program is killed when the shim ends.
// Returns only on failure: the exit code, the reason on stderr.
int ExecRank(int argc, char** argv);

}  // namespace yoke::shim
