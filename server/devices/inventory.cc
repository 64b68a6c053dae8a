#include "server/devices/inventory.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/ipc/attempt_files.h"
#include "server/devices/cpu_slots.h"
#include "server/devices/device_string.h"
#include "server/devices/sampler.h"

namespace yoke::devices {
namespace {

// Whether a process was started by an attempt: those carry a run id in their environment. Another user's
// environment cannot be read, so it is nobody of ours.
bool IsOurs(int64_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/environ"), std::ios::binary);
  const std::string marker = absl::StrCat(ipc::kRunIdVariable, "=");
  for (std::string word; std::getline(file, word, '\0');) {
    if (word.compare(0, marker.size(), marker) == 0) return true;
  }
  return false;
}

std::string ProcessName(int64_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/comm"));
  std::string name;
  std::getline(file, name);
  return name.empty() ? "another process" : name;
}

v1::Device ToDevice(const GpuReading& gpu, int index, const std::string& problem) {
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
  const auto foreign = std::find_if_not(gpu.pids.begin(), gpu.pids.end(), IsOurs);
  if (foreign != gpu.pids.end()) {
    device.set_state(v1::Device::BUSY_FOREIGN);
    device.set_message(absl::StrCat("process ", *foreign, " (", ProcessName(*foreign), ") outside the queue uses it"));
  }
  return device;
}

class Inventory : public DeviceInventory {
 public:
  explicit Inventory(const InventoryOptions& options) : slots_(MakeCpuSlots(options.cpu_slots)), cores_(UsableCores()) {
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
    for (const GpuReading& gpu : sample.reading.gpus) {
      devices.push_back(ToDevice(gpu, static_cast<int>(devices.size()), sample.problem));
    }
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
};

}  // namespace

std::unique_ptr<DeviceInventory> MakeInventory(const InventoryOptions& options) {
  return std::make_unique<Inventory>(options);
}

}  // namespace yoke::devices
