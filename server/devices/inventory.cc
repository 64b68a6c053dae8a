#include "server/devices/inventory.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/mutex.h"
#include "common/ipc/attempt_files.h"
#include "server/devices/cpu_slots.h"
#include "server/devices/device_string.h"
#include "server/devices/sampler.h"

namespace yoke::devices {
namespace {

// Who uses a device, for those whose processes are told from others'.
class Users {
 public:
  // Whether a process was started by an attempt: those carry a run id in their environment. Another
  // user's environment cannot be read, so it is nobody of ours. The driver lists a process for a
  // while after it has ended: one that has no memory any more is nobody's, and what was ours stays
  // so until it is listed no more.
  bool IsForeign(int64_t pid) {
    if (ours_.contains(pid)) return false;
    errno = 0;
    std::ifstream file(absl::StrCat("/proc/", pid, "/environ"), std::ios::binary);
    const bool no_memory =
        file.is_open() ? file.peek() == std::ifstream::traits_type::eof() : errno == ESRCH;
    if (no_memory) return false;
    const std::string marker = absl::StrCat(ipc::kRunIdVariable, "=");
    for (std::string word; std::getline(file, word, '\0');) {
      if (word.compare(0, marker.size(), marker) != 0) continue;
      ours_.insert(pid);
      return false;
    }
    return true;
  }

  void KeepOnly(const std::set<int64_t>& listed) {
    std::erase_if(ours_, [&](int64_t pid) { return !listed.contains(pid); });
  }

 private:
  std::set<int64_t> ours_;
};

std::string ProcessName(int64_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/comm"));
  std::string name;
  std::getline(file, name);
  return name.empty() ? "another process" : name;
}

v1::Device ToDevice(const GpuReading& gpu, int index, const std::string& problem, Users& users) {
  v1::Device device;
  device.set_uuid(gpu.uuid);
  device.set_kind(v1::Device::GPU);
  device.set_name(gpu.name);
  device.set_index(index);
  device.set_memory_total_bytes(gpu.memory_total_bytes);
  device.set_memory_used_bytes(gpu.memory_used_bytes);
  device.set_pci_bus_id(gpu.pci_bus_id);
  device.set_compute_capability(gpu.compute_capability);
  device.set_state(v1::Device::FREE);
  if (!gpu.lost.empty() || !problem.empty()) {
    device.set_state(v1::Device::LOST);
    device.set_message(gpu.lost.empty() ? problem : gpu.lost);
    return device;
  }
  if (gpu.utilization_percent) device.set_utilization_percent(*gpu.utilization_percent);
  if (gpu.power_watts) device.set_power_watts(*gpu.power_watts);
  if (gpu.temperature_celsius) device.set_temperature_celsius(*gpu.temperature_celsius);
  const auto foreign = std::find_if(gpu.pids.begin(), gpu.pids.end(),
                                    [&](int64_t pid) { return users.IsForeign(pid); });
  if (foreign != gpu.pids.end()) {
    device.set_state(v1::Device::BUSY_FOREIGN);
    device.set_message(absl::StrCat("process ", *foreign, " (", ProcessName(*foreign),
                                    ") outside the queue uses it"));
  }
  return device;
}

class Inventory : public DeviceInventory {
 public:
  explicit Inventory(const InventoryOptions& options)
      : slots_(MakeCpuSlots(options.cpu_slots)), cores_(UsableCores()) {
    if (options.nvml_library == "none") return;
    GpuSampler::Options sampling;
    sampling.library = options.nvml_library;
    sampling.interval = options.sample_interval;
    sampling.timeout = options.driver_timeout;
    sampler_ = std::make_unique<GpuSampler>(sampling);
  }

  std::vector<v1::Device> Devices() const override {
    const GpuSample sample = Sample();
    std::vector<v1::Device> devices;
    const MutexLock lock(mutex_);
    std::set<int64_t> listed;
    for (const GpuReading& gpu : sample.reading.gpus) {
      devices.push_back(ToDevice(gpu, static_cast<int>(devices.size()), sample.problem, users_));
      listed.insert(gpu.pids.begin(), gpu.pids.end());
    }
    users_.KeepOnly(listed);
    devices.insert(devices.end(), slots_.begin(), slots_.end());
    return devices;
  }

  absl::StatusOr<DeviceSelection> Resolve(const std::string& device_string) const override {
    return ResolveDeviceString(device_string, Devices(), cores_);
  }

  void SetListener(std::function<void()> listener) override {
    if (sampler_ != nullptr) sampler_->SetListener(std::move(listener));
  }

  std::vector<v1::DeviceChoice> Choices() const override { return MakeChoices(Devices()); }

  bool has_gpus() const override { return !Sample().reading.gpus.empty(); }

  std::vector<int64_t> HolderPids(const std::string& uuid) const override {
    for (const GpuReading& gpu : Sample().reading.gpus) {
      if (gpu.uuid == uuid) return gpu.pids;
    }
    return {};
  }

  std::vector<std::string> Peers(const std::string& uuid) const override {
    for (const GpuReading& gpu : Sample().reading.gpus) {
      if (gpu.uuid == uuid) return gpu.peers;
    }
    return {};
  }

  std::string DriverVersion() const override { return Sample().reading.driver_version; }
  std::string DriverProblem() const override {
    return sampler_ == nullptr ? "GPUs are switched off (--nvml none)" : Sample().problem;
  }

 private:
  GpuSample Sample() const { return sampler_ == nullptr ? GpuSample() : sampler_->Latest(); }

  const std::vector<v1::Device> slots_;
  const int cores_;
  std::unique_ptr<GpuSampler> sampler_;
  mutable Mutex mutex_;
  mutable Users users_ YOKE_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<DeviceInventory> MakeInventory(const InventoryOptions& options) {
  return std::make_unique<Inventory>(options);
}

}  // namespace yoke::devices
