#include "server/shim/strays.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/ipc/attempt_files.h"
#include "common/os/cgroup.h"
#include "common/os/clock.h"
#include "common/os/file.h"
#include "common/os/process.h"

namespace yoke::shim {
namespace {

constexpr useconds_t kPauseMicroseconds = 5'000;

bool IsStray(pid_t pid, const std::string& marker) {
  const absl::StatusOr<os::ProcessStat> stat = os::ReadProcessStat(pid);
  if (!stat.ok() || stat->state == 'Z' || pid == getpid()) return false;
  return stat->parent == getpid() || os::HasEnv(pid, marker);
}

std::vector<pid_t> FindStrays(const std::string& marker) {
  std::vector<pid_t> strays = os::FindProcessesWithEnv(marker);
  for (const pid_t child : os::ChildrenOf(getpid())) strays.push_back(child);
  std::sort(strays.begin(), strays.end());
  strays.erase(std::unique(strays.begin(), strays.end()), strays.end());
  std::erase_if(strays, [&](pid_t pid) { return !IsStray(pid, marker); });
  return strays;
}

// Orphans of a descendant become children of the shim, so who has no child has no descendant.
bool HasChildren() {
  siginfo_t info;
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

void ReapAll() {
  while (waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

bool Signal(pid_t pid, const std::string& marker, int signal) {
  const absl::StatusOr<os::UniqueFd> process = os::PidfdOpen(pid);
  if (!process.ok()) return false;
  // The number may have gone to another process between the search and here; the descriptor now
  // names one process for good, so look once more.
  return IsStray(pid, marker) && os::PidfdSignal(process->get(), signal).ok();
}

// With the folder of all groups, if this was the last.
void RemoveGroup(const std::string& cgroup) {
  if (os::RemoveCgroup(cgroup).ok()) rmdir(os::FolderOf(cgroup).c_str());
}

}  // namespace

StraySweep KillStrays(const std::string& run_id, const std::string& cgroup, double limit_seconds) {
  const std::string marker = absl::StrCat(ipc::kRunIdVariable, "=", run_id);
  const int64_t deadline = os::BootMilliseconds() + static_cast<int64_t>(limit_seconds * 1000);
  std::set<pid_t> stopped, killed;
  for (;;) {
    ReapAll();
    const std::vector<pid_t> grouped =
        cgroup.empty() ? std::vector<pid_t>() : os::CgroupProcesses(cgroup);
    std::vector<pid_t> strays = HasChildren() || !grouped.empty() ? FindStrays(marker) : std::vector<pid_t>();
    if (!grouped.empty() && os::KillCgroup(cgroup).ok())
      killed.insert(grouped.begin(), grouped.end());
    if (strays.empty() && grouped.empty()) {
      ReapAll();  // what was killed since the search before
      if (!cgroup.empty()) RemoveGroup(cgroup);
      return {static_cast<int64_t>(killed.size()), 0, !HasChildren()};
    }
    if (os::BootMilliseconds() >= deadline) {
      strays.insert(strays.end(), grouped.begin(), grouped.end());
      return {static_cast<int64_t>(killed.size()),
              static_cast<int64_t>(std::set<pid_t>(strays.begin(), strays.end()).size()), false};
    }
    const bool all_stopped =
        std::all_of(strays.begin(), strays.end(), [&](pid_t pid) { return stopped.contains(pid); });
    for (const pid_t pid : strays) {
      if (Signal(pid, marker, all_stopped ? SIGKILL : SIGSTOP) && all_stopped) killed.insert(pid);
    }
    stopped.insert(strays.begin(), strays.end());
    usleep(kPauseMicroseconds);
  }
}

}  // namespace yoke::shim
