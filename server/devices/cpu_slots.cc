#include "server/devices/cpu_slots.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace yoke::devices {
namespace {

constexpr int kDefaultSlotsMax = 8;

std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (absl::StartsWith(line, "model name") && colon != std::string::npos) {
      return std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
    }
  }
  return "CPU";
}

int64_t MemoryTotalBytes() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  int64_t kib = 0;
  while (file >> key >> kib >> unit) {
    if (key == "MemTotal:") return kib * 1024;
  }
  return 0;
}

}  // namespace

int UsableCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

std::vector<v1::Device> MakeCpuSlots(int slots) {
  const int cores = UsableCores();
  if (slots <= 0) slots = std::min(cores, kDefaultSlotsMax);
  const std::string model = CpuModel();
  const int64_t memory = MemoryTotalBytes();
  std::vector<v1::Device> devices(slots);
  for (int i = 0; i < slots; ++i) {
    v1::Device& slot = devices[i];
    slot.set_uuid(absl::StrCat("cpu:", i));
    slot.set_kind(v1::Device::CPU_SLOT);
    slot.set_name(model);
    slot.set_index(i);
    slot.set_memory_total_bytes(memory);
    slot.set_state(v1::Device::FREE);
    slot.set_threads(std::max(1, cores / slots));
  }
  return devices;
}

}  // namespace yoke::devices
