// Processes: start, signal, wait, and what /proc says about them. Nothing runs between fork and exec,
// so Spawn is safe in a program with threads.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/unique_fd.h"

namespace yoke::os {

struct SpawnOptions {
  std::vector<std::string> argv;  // argv[0] is the path of the program, not searched in PATH
  std::vector<std::string> env;   // the whole environment, "KEY=VALUE"; see CurrentEnv
  int stdin_fd = -1;              // -1: /dev/null, for these three
  int stdout_fd = -1;
  int stderr_fd = -1;
  std::string cwd;                // empty: the caller's
  bool new_session = false;       // setsid
  bool new_group = false;         // a process group of its own; a new session has one anyway
  std::string cgroup;  // folder of the control group that it is born in; empty: the caller's
  // Before it becomes the program:
  bool dies_with_caller = false;   // SIGKILL when the thread that started it ends
  std::optional<int> oom_score;    // as SetOomScore
  std::string joined_cgroup;       // moves there, and says on stderr if it cannot
  int64_t user_processes_max = 0;  // no more of the user from then on; 0: as it is
};

// Starts a program with empty signal mask, default dispositions and no descriptor beyond 0 to 2.
// NotFound or PermissionDenied "cannot start PROGRAM: …" if it cannot be executed. Unimplemented if
// nothing can be born in `cgroup`: no such folder, or a kernel or a sandbox that does not let us.
// (To move there afterwards costs each process some 10 ms, in which the kernel waits for all of its
// processors.)
absl::StatusOr<pid_t> Spawn(const SpawnOptions& options);

// This process' environment as SpawnOptions takes it.
std::vector<std::string> CurrentEnv();
// Sets or replaces one variable.
void SetEnv(std::vector<std::string>& env, std::string_view name, std::string_view value);

struct ExitStatus {
  int exit_code = 0;  // 0 when a signal ended it
  int signal = 0;
  int64_t max_rss_bytes = 0;
  bool ok() const { return exit_code == 0 && signal == 0; }
};

// REQUIRES: `pid` is a child of this process that nobody else waits for.
absl::StatusOr<ExitStatus> Wait(pid_t pid);
// Nothing if it still runs.
absl::StatusOr<std::optional<ExitStatus>> TryWait(pid_t pid);

// NotFound if there is no such process. The descriptor names this process for ever: no pid reuse.
absl::StatusOr<UniqueFd> PidfdOpen(pid_t pid);
// NotFound if the process has ended.
absl::Status PidfdSignal(int pidfd, int signal);

struct ProcessStat {
  char state = '?';  // R, S, D, T, Z ...
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  int64_t cpu_ticks = 0;    // user and system time of all its threads, in units of sysconf(_SC_CLK_TCK)
  int64_t start_ticks = 0;  // field 22: with the pid and the boot id it names a process for ever
};
// /proc/PID/stat. NotFound if there is no such process.
absl::StatusOr<ProcessStat> ReadProcessStat(pid_t pid);
absl::StatusOr<int64_t> StartTicks(pid_t pid);
absl::StatusOr<char> ProcessState(pid_t pid);

// Names this boot of the machine.
absl::StatusOr<std::string> BootId();

// Whether the process was started with exactly `assignment` ("KEY=VALUE") in its environment. False for
// zombies and for processes of other users, whose environment cannot be read.
bool HasEnv(pid_t pid, std::string_view assignment);

// Processes of this machine that carry exactly `assignment` ("YOKE_RUN_ID=…") in the environment they
// were started with. Zombies and processes of other users are not seen.
std::vector<pid_t> FindProcessesWithEnv(std::string_view assignment);

// Who goes first when memory runs out: from -1000, never, to 1000. Best effort; less than it was is granted to a
// privileged caller only. `pid` 0: this process, and what it will start.
void SetOomScore(pid_t pid, int score);

// Threads of all processes of this process' user, which is what RLIMIT_NPROC limits.
int64_t CountThreadsOfUser();

// Direct children, zombies included.
std::vector<pid_t> ChildrenOf(pid_t pid);

}  // namespace yoke::os
