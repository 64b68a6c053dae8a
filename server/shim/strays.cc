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
#include "common/os/clock.h"
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

}  // namespace

StraySweep KillStrays(const std::string& run_id, double limit_seconds) {
  const std::string marker = absl::StrCat(ipc::kRunIdVariable, "=", run_id);
  const int64_t deadline = os::BootMilliseconds() + static_cast<int64_t>(limit_seconds * 1000);
  std::set<pid_t> killed;
  for (;;) {
    ReapAll();
    if (!HasChildren()) return {static_cast<int64_t>(killed.size()), 0};
    const std::vector<pid_t> strays = FindStrays(marker);
    const bool late = os::BootMilliseconds() >= deadline;
    if (strays.empty() || late) {
      return {static_cast<int64_t>(killed.size()), static_cast<int64_t>(strays.size())};
    }
    for (const pid_t pid : strays) {
      const absl::StatusOr<os::UniqueFd> process = os::PidfdOpen(pid);
      if (!process.ok()) continue;
      // The number may have gone to another process between the search and here; the descriptor now
      // names one process for good, so look once more.
      if (!IsStray(pid, marker)) continue;
      if (os::PidfdSignal(process->get(), SIGKILL).ok()) killed.insert(pid);
    }
    usleep(kPauseMicroseconds);
  }
}

}  // namespace yoke::shim
