#include "server/shim/oom.h"

#include <signal.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/ipc/attempt_files.h"
#include "common/os/file.h"
#include "server/shim/last_lines.h"

namespace yoke::shim {
namespace {

// "NAME 12" of a file of such lines.
std::optional<int64_t> Counter(const std::string& path, absl::string_view name) {
  const absl::StatusOr<std::string> text = os::ReadFile(path);
  if (!text.ok()) return std::nullopt;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    int64_t value = 0;
    if (absl::ConsumePrefix(&line, name) && absl::ConsumePrefix(&line, " ") &&
        absl::SimpleAtoi(line, &value))
      return value;
  }
  return std::nullopt;
}

}  // namespace

int64_t OomKills(const std::string& cgroup) {
  if (!cgroup.empty()) {
    if (const auto kills = Counter(cgroup + "/memory.events", "oom_kill")) return *kills;
  }
  return Counter("/proc/vmstat", "oom_kill").value_or(0);
}

bool DiedOfMemory(const os::ExitStatus& exit, bool kernel_killed, const std::string& log) {
  if (exit.exit_code == ipc::kWorkerOutOfMemory) return true;
  if (exit.signal == SIGKILL) return kernel_killed;
  if (exit.signal != SIGABRT) return false;
  constexpr size_t kLines = 20;
  const std::vector<std::string> lines = LastLines(log, kLines);
  return std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
    return absl::StrContains(line, "std::bad_alloc");
  });
}

}  // namespace yoke::shim
