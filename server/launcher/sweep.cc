#include "server/launcher/sweep.h"

#include <signal.h>

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/ipc/attempt_files.h"
#include "common/os/cgroup.h"
#include "common/os/process.h"

namespace yoke::launcher {
namespace {

constexpr int kStopRoundsMax = 20;

bool IsAlive(int64_t pid) {
  const absl::StatusOr<char> state = os::ProcessState(static_cast<pid_t>(pid));
  return state.ok() && *state != 'Z' && *state != 'X';
}

void SignalMarked(pid_t pid, const std::string& marker, int signal) {
  const absl::StatusOr<os::UniqueFd> pidfd = os::PidfdOpen(pid);
  // Asked again through the descriptor's process: the number may be another's by now.
  if (pidfd.ok() && os::HasEnv(pid, marker)) os::PidfdSignal(pidfd->get(), signal).IgnoreError();
}

bool IsGpu(const std::string& uuid) { return !absl::StartsWith(uuid, "cpu:"); }

}  // namespace

std::vector<pid_t> KillMarked(const std::string& run_id, const std::string& cgroup) {
  const std::string marker = absl::StrCat(ipc::kRunIdVariable, "=", run_id);
  std::vector<pid_t> found = os::FindProcessesWithEnv(marker);
  std::set<pid_t> stopped;
  for (int i = 0; i < kStopRoundsMax && !std::all_of(found.begin(), found.end(), [&](pid_t pid) { return stopped.contains(pid); }); ++i) {
    for (const pid_t pid : found) SignalMarked(pid, marker, SIGSTOP);
    stopped.insert(found.begin(), found.end());
    found = os::FindProcessesWithEnv(marker);
  }
  for (const pid_t pid : found) SignalMarked(pid, marker, SIGKILL);
  if (cgroup.empty()) return found;
  const std::vector<pid_t> grouped = os::CgroupProcesses(cgroup);
  os::KillCgroup(cgroup).IgnoreError();  // what it could not kill is found the next time
  found.insert(found.end(), grouped.begin(), grouped.end());
  return found;
}

bool HasReadingSince(const devices::DeviceInventory& inventory, const std::vector<std::string>& device_uuids, int64_t since_ms) {
  return std::none_of(device_uuids.begin(), device_uuids.end(), IsGpu) || inventory.ReadingBeganMs() >= since_ms;
}

Emptiness LookForHolders(const devices::DeviceInventory& inventory, const std::vector<std::string>& device_uuids, const std::vector<pid_t>& marked,
                         int64_t since_ms) {
  Emptiness result;
  for (const std::string& uuid : device_uuids) {
    std::string why = marked.empty() ? "" : absl::StrCat("process ", marked[0], " of its last job cannot be ended");
    for (const int64_t pid : inventory.HolderPids(uuid)) {
      if (why.empty() && IsAlive(pid)) why = absl::StrCat("process ", pid, " still uses it after its last job");
    }
    if (why.empty() && !HasReadingSince(inventory, {uuid}, since_ms)) {
      why = "the NVIDIA driver has not said since its last job ended that nobody uses it";
    }
    (why.empty() ? result.free : result.held).push_back(uuid);
    if (!why.empty()) result.why = why;
  }
  return result;
}

void ReadPrepareAnswer(const std::vector<std::string>& last_lines, Report& report) {
  for (auto line = last_lines.rbegin(); line != last_lines.rend(); ++line) {
    const nlohmann::json answer = nlohmann::json::parse(*line, nullptr, false);
    if (!answer.is_object() || !answer.contains("ok")) continue;
    const auto text = [&answer](const char* name) { return answer.contains(name) && answer[name].is_string() ? answer[name].get<std::string>() : ""; };
    report.error_reason = text("reason");
    report.error_message = text("message");
    return;
  }
}

}  // namespace yoke::launcher
