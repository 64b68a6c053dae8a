#include "server/engine/data/host_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace yoke::engine {
namespace {

constexpr int64_t kKib = 1024;

// The number after `name` in a file of "name number" lines.
std::optional<int64_t> NumberAfter(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string word;
  int64_t number = 0;
  while (file >> word) {
    if (word == name && file >> number) return number;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

std::optional<int64_t> OnlyNumber(const std::string& path) {
  std::ifstream file(path);
  int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;  // "max": no limit
}

std::string ControlGroup(const std::string& root) {
  std::ifstream file(absl::StrCat(root, "/proc/self/cgroup"));
  std::string line;
  while (std::getline(file, line)) {
    if (absl::StartsWith(line, "0::")) return line.substr(3);
  }
  return "";
}

}  // namespace

int64_t FreeHostMemory(const std::string& root) {
  int64_t least = std::numeric_limits<int64_t>::max();
  if (const auto kib = NumberAfter(absl::StrCat(root, "/proc/meminfo"), "MemAvailable:")) {
    least = *kib * kKib;
  }
  std::string group = ControlGroup(root);
  while (!group.empty()) {
    const std::string folder = absl::StrCat(root, "/sys/fs/cgroup", group);
    const std::optional<int64_t> limit = OnlyNumber(folder + "/memory.max");
    const std::optional<int64_t> used = OnlyNumber(folder + "/memory.current");
    if (limit && used) {
      const int64_t droppable = NumberAfter(folder + "/memory.stat", "inactive_file").value_or(0);
      least = std::min(least, std::max<int64_t>(*limit - *used + droppable, 0));
    }
    group.erase(group.rfind('/'));
  }
  return least == std::numeric_limits<int64_t>::max() ? 0 : least;
}

int64_t PeakResidentMemory() {
  return kKib * NumberAfter("/proc/self/status", "VmHWM:").value_or(0);
}

}  // namespace yoke::engine
