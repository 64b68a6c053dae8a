#include "server/devices/inventory.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/ipc/attempt_files.h"
#include "server/devices/cpu_slots.h"
#include "server/devices/device_string.h"
#include "server/devices/drains.h"
#include "server/devices/sampler.h"

namespace yoke::devices {
namespace {

// Who uses a device, for those whose processes are told from others'.
class Users {
 public:
  explicit Users(const std::string& state_dir) : state_dir_(state_dir) {}

  // Whether a process was started by an attempt of this daemon: those carry a run id and the path of
  // their specification in their environment. Another user's environment cannot be read, so it is nobody of ours. The driver lists a process for a
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
    const std::string spec = absl::StrCat(ipc::kSpecVariable, "=");
    bool marked = false, elsewhere = false;
    for (std::string word; std::getline(file, word, '\0');) {
      marked = marked || absl::StartsWith(word, marker);
      elsewhere = elsewhere || (absl::StartsWith(word, spec) &&
                                !absl::StartsWith(word, absl::StrCat(spec, state_dir_)));
    }
    if (!marked || elsewhere) return true;
    ours_.insert(pid);
    return false;
  }

  void KeepOnly(const std::set<int64_t>& listed) {
    std::erase_if(ours_, [&](int64_t pid) { return !listed.contains(pid); });
  }

 private:
  const std::string state_dir_;
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
    device.set_state(v1::Device::DRAINED);
    device.set_failed(true);
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

std::string Now() { return absl::FormatTime("%Y-%m-%d %H:%M:%S %Z", absl::Now(), absl::LocalTimeZone()); }

// A GPU that is lost or reports an error is drained before anybody is given it.
void DrainFailed(const NvmlReading& reading, Drains& drains) {
  for (const GpuReading& gpu : reading.gpus) {
    std::vector<std::string> faults;
    if (!gpu.lost.empty()) faults.push_back(gpu.lost);
    for (const unsigned xid : gpu.xids) {
      if (const std::string fault = FaultOfXid(xid); !fault.empty()) faults.push_back(fault);
    }
    if (!faults.empty()) drains.AddFault({gpu.uuid, gpu.name, faults[0], true, Now()});
  }
  drains.Store();
}

// An inventory's device as the drains leave it. One that is not reached at the moment says that instead.
void ShowDrain(const Drains& drains, v1::Device& device) {
  const std::optional<Drain> drain = drains.Find(device.uuid());
  if (!drain) return;
  const bool reached = device.state() != v1::Device::DRAINED;
  device.set_state(v1::Device::DRAINED);
  device.set_failed(device.failed() || drain->failed);
  if (!drain->failed && !reached) return;
  device.set_message(absl::StrCat(drain->reason, drain->failed ? absl::StrCat(", since ", drain->since) : "",
                                  drain->failed && reached ? absl::StrCat("; `yoke device resume ", device.uuid(), "` when it is repaired") : ""));
}

class Inventory : public DeviceInventory {
 public:
  explicit Inventory(const InventoryOptions& options)
      : slots_(MakeCpuSlots(options.cpu_slots)), cores_(UsableCores()), drains_(options.drains), users_(options.state_dir) {
    if (drains_ == nullptr) drains_ = *Drains::Open("");
    if (options.nvml_library == "none") return;
    GpuSampler::Options sampling;
    sampling.on_reading = [drains = drains_](const NvmlReading& reading) { DrainFailed(reading, *drains); };
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
    for (v1::Device& device : devices) ShowDrain(*drains_, device);
    return devices;
  }

  absl::StatusOr<DeviceSelection> Resolve(const std::string& device_string) const override {
    return ResolveDeviceString(device_string, Devices(), cores_);
  }

  void SetListener(std::function<void()> listener) override {
    if (sampler_ != nullptr) sampler_->SetListener(listener);
    MutexLock lock(listener_mutex_);
    listener_ = std::move(listener);
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

  std::string FaultOf(const std::string& uuid) const override {
    const std::optional<devices::Drain> drain = drains_->Find(uuid);
    return drain && drain->failed ? drain->reason : "";
  }

  absl::StatusOr<v1::Device> Drain(const std::string& text, const std::string& reason) override {
    YOKE_ASSIGN_OR_RETURN(const v1::Device device, FindDevice(text, Known()));
    YOKE_RETURN_IF_ERROR(drains_->Add({device.uuid(), device.name(), reason, false, Now()}));
    return Changed(device.uuid());
  }

  absl::StatusOr<v1::Device> Resume(const std::string& text) override {
    YOKE_ASSIGN_OR_RETURN(const v1::Device device, FindDevice(text, Known()));
    const GpuSample sample = Sample();
    const auto gpu = std::find_if(sample.reading.gpus.begin(), sample.reading.gpus.end(),
                                  [&](const GpuReading& other) { return other.uuid == device.uuid(); });
    const bool reached = device.kind() != v1::Device::GPU || (gpu != sample.reading.gpus.end() && gpu->lost.empty());
    if (!reached || (device.kind() == v1::Device::GPU && !sample.problem.empty())) {
      absl::Status status = absl::FailedPreconditionError(
          absl::StrCat("GPU ", device.uuid(), " cannot be given out: ", sample.problem.empty() ? device.message() : sample.problem,
                       ". Repair it first (nvidia-smi); a GPU that was taken out can stay drained"));
      status.SetPayload("yoke.reason", absl::Cord("DEVICE_LOST"));
      return status;
    }
    YOKE_RETURN_IF_ERROR(drains_->Remove(device.uuid()));
    return Changed(device.uuid());
  }

  std::vector<v1::Device> Absent() const override {
    const GpuSample sample = Sample();
    std::vector<v1::Device> absent;
    for (const devices::Drain& drain : drains_->All()) {
      const auto listed = [&](const auto& gpu) { return gpu.uuid == drain.uuid; };
      if (absl::StartsWith(drain.uuid, "cpu:") || std::any_of(sample.reading.gpus.begin(), sample.reading.gpus.end(), listed)) continue;
      v1::Device& device = absent.emplace_back();
      device.set_uuid(drain.uuid);
      device.set_kind(v1::Device::GPU);
      device.set_name(drain.name);
      device.set_index(-1);
      device.set_state(v1::Device::DRAINED);
      device.set_failed(drain.failed);
      device.set_message(absl::StrCat(drain.reason, ", since ", drain.since, "; the driver does not list it"));
    }
    return absent;
  }

  int64_t ReadingBeganMs() const override { return sampler_ == nullptr ? INT64_MAX : Sample().began_ms; }
  void ReadSoon() override {
    if (sampler_ != nullptr) sampler_->SampleSoon();
  }

 private:
  GpuSample Sample() const { return sampler_ == nullptr ? GpuSample() : sampler_->Latest(); }

  std::vector<v1::Device> Known() const {
    std::vector<v1::Device> known = Devices();
    for (v1::Device& absent : Absent()) known.push_back(std::move(absent));
    return known;
  }

  // Tells the listener, as after a reading.
  absl::StatusOr<v1::Device> Changed(const std::string& uuid) {
    {
      MutexLock lock(listener_mutex_);
      if (listener_) listener_();
    }
    for (v1::Device& device : Known()) {
      if (device.uuid() == uuid) return std::move(device);
    }
    return absl::NotFoundError(absl::StrCat("device ", uuid, " is not there any more"));
  }

  const std::vector<v1::Device> slots_;
  const int cores_;
  std::shared_ptr<Drains> drains_;
  Mutex listener_mutex_;
  std::function<void()> listener_ YOKE_GUARDED_BY(listener_mutex_);
  std::unique_ptr<GpuSampler> sampler_;
  mutable Mutex mutex_;
  mutable Users users_ YOKE_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<DeviceInventory> MakeInventory(const InventoryOptions& options) {
  return std::make_unique<Inventory>(options);
}

}  // namespace yoke::devices
