#include "server/devices/nvml.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace yoke::devices {
namespace {

// The part of NVML's stable C interface that is used here; layouts as NVIDIA documents them.
using Result = int;
constexpr Result kSuccess = 0;
constexpr Result kInsufficientSize = 7;
constexpr Result kGpuIsLost = 15;
using DeviceHandle = void*;
using EventSet = void*;
struct EventData {
  DeviceHandle device;
  unsigned long long type, data;
  unsigned gpu_instance_id, compute_instance_id;
};
struct Memory {
  unsigned long long total, free, used;
};
struct Utilization {
  unsigned gpu, memory;
};
struct PciInfo {
  char bus_id_legacy[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];
};
struct ProcessInfo {
  unsigned pid;
  unsigned long long used_gpu_memory;
  unsigned gpu_instance_id, compute_instance_id;
};
constexpr int kTemperatureOfGpu = 0;
constexpr int kByNvLink = 2;
constexpr int kP2pWorks = 0;
constexpr unsigned long long kXidEvents = 8;
constexpr size_t kProcessesMax = 1024;
constexpr int kEventsMax = 256;  // of one reading

struct Functions {
  Result (*init)() = nullptr;
  Result (*shutdown)() = nullptr;
  const char* (*error_string)(Result) = nullptr;
  Result (*driver_version)(char*, unsigned) = nullptr;
  Result (*count)(unsigned*) = nullptr;
  Result (*handle)(unsigned, DeviceHandle*) = nullptr;
  Result (*name)(DeviceHandle, char*, unsigned) = nullptr;
  Result (*uuid)(DeviceHandle, char*, unsigned) = nullptr;
  Result (*memory)(DeviceHandle, Memory*) = nullptr;
  // Those below may be absent, in the library or on the device.
  Result (*utilization)(DeviceHandle, Utilization*) = nullptr;
  Result (*power)(DeviceHandle, unsigned*) = nullptr;
  Result (*temperature)(DeviceHandle, int, unsigned*) = nullptr;
  Result (*pci)(DeviceHandle, PciInfo*) = nullptr;
  Result (*capability)(DeviceHandle, int*, int*) = nullptr;
  Result (*processes)(DeviceHandle, unsigned*, ProcessInfo*) = nullptr;
  Result (*p2p_status)(DeviceHandle, DeviceHandle, int, int*) = nullptr;
  Result (*event_set_create)(EventSet*) = nullptr;
  Result (*register_events)(DeviceHandle, unsigned long long, EventSet) = nullptr;
  Result (*event_wait)(EventSet, EventData*, unsigned) = nullptr;
};

template <typename F>
bool Find(void* library, F& function, std::initializer_list<const char*> symbols) {
  for (const char* symbol : symbols) {
    function = reinterpret_cast<F>(dlsym(library, symbol));
    if (function != nullptr) return true;
  }
  return false;
}

class LoadedNvml : public Nvml {
 public:
  LoadedNvml(void* library, const Functions& nvml) : library_(library), nvml_(nvml) {
    const bool events = nvml_.event_set_create && nvml_.register_events && nvml_.event_wait;
    if (!events || nvml_.event_set_create(&events_) != kSuccess) events_ = nullptr;
  }
  ~LoadedNvml() override {
    nvml_.shutdown();
    dlclose(library_);
  }

  absl::StatusOr<NvmlReading> Read() override {
    NvmlReading reading;
    std::array<char, 128> text{};
    if (nvml_.driver_version(text.data(), text.size()) == kSuccess) reading.driver_version = text.data();
    unsigned count = 0;
    YOKE_RETURN_IF_ERROR(Check("nvmlDeviceGetCount", nvml_.count(&count)));
    std::vector<std::pair<DeviceHandle, std::string>> handles;
    for (unsigned i = 0; i < count; ++i) {
      DeviceHandle device = nullptr;
      if (nvml_.handle(i, &device) != kSuccess) continue;
      std::array<char, 128> uuid{};
      if (nvml_.uuid(device, uuid.data(), uuid.size()) != kSuccess) continue;
      reading.gpus.push_back(ReadGpu(device, uuid.data()));
      handles.emplace_back(device, uuid.data());
    }
    for (size_t i = 0; i < handles.size(); ++i) {
      if (reading.gpus[i].lost.empty()) reading.gpus[i].peers = ReadPeers(handles[i].first, handles);
    }
    ReadEvents(handles, reading.gpus);
    std::stable_sort(reading.gpus.begin(), reading.gpus.end(),
                     [](const GpuReading& a, const GpuReading& b) { return a.pci_bus_id < b.pci_bus_id; });
    return reading;
  }

 private:
  absl::Status Check(const char* call, Result result) const {
    if (result == kSuccess) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat(call, ": ", nvml_.error_string(result)));
  }

  GpuReading ReadGpu(DeviceHandle device, std::string uuid) const {
    GpuReading gpu;
    gpu.uuid = std::move(uuid);
    std::array<char, 128> text{};
    if (nvml_.name(device, text.data(), text.size()) == kSuccess) gpu.name = text.data();
    if (PciInfo pci{}; nvml_.pci && nvml_.pci(device, &pci) == kSuccess) {
      gpu.pci_bus_id = absl::AsciiStrToLower(pci.bus_id);
    }
    Memory memory{};
    const Result result = nvml_.memory(device, &memory);
    if (result == kGpuIsLost) {
      gpu.lost = absl::StrCat("the driver lost it: ", nvml_.error_string(result));
      return gpu;
    }
    if (result == kSuccess) {
      gpu.memory_total_bytes = static_cast<int64_t>(memory.total);
      gpu.memory_used_bytes = static_cast<int64_t>(memory.used);
    }
    if (Utilization used{}; nvml_.utilization && nvml_.utilization(device, &used) == kSuccess) {
      gpu.utilization_percent = used.gpu;
    }
    if (unsigned milliwatts = 0; nvml_.power && nvml_.power(device, &milliwatts) == kSuccess) {
      gpu.power_watts = milliwatts / 1000.0;
    }
    if (unsigned celsius = 0;
        nvml_.temperature && nvml_.temperature(device, kTemperatureOfGpu, &celsius) == kSuccess) {
      gpu.temperature_celsius = celsius;
    }
    int major = 0, minor = 0;
    if (nvml_.capability && nvml_.capability(device, &major, &minor) == kSuccess) {
      gpu.compute_capability = absl::StrCat(major, ".", minor);
    }
    std::vector<ProcessInfo> processes(64);
    while (nvml_.processes != nullptr) {
      auto size = static_cast<unsigned>(processes.size());
      const Result listed = nvml_.processes(device, &size, processes.data());
      if (listed == kInsufficientSize && processes.size() < kProcessesMax) {
        processes.resize(kProcessesMax);
        continue;
      }
      if (listed == kSuccess) {
        for (unsigned i = 0; i < size; ++i) gpu.pids.push_back(processes[i].pid);
      }
      break;
    }
    return gpu;
  }

  std::vector<std::string> ReadPeers(DeviceHandle device, const std::vector<std::pair<DeviceHandle, std::string>>& all) const {
    std::vector<std::string> peers;
    for (const auto& [other, uuid] : all) {
      int status = -1;
      if (other == device || nvml_.p2p_status == nullptr) continue;
      if (nvml_.p2p_status(device, other, kByNvLink, &status) == kSuccess && status == kP2pWorks) peers.push_back(uuid);
    }
    return peers;
  }

  // Events are kept by the driver from a device's registration on. `gpus` belong to `handles`, in their order.
  void ReadEvents(const std::vector<std::pair<DeviceHandle, std::string>>& handles, std::vector<GpuReading>& gpus) {
    if (events_ == nullptr) return;
    EventData event{};
    for (int i = 0; i < kEventsMax && nvml_.event_wait(events_, &event, 0) == kSuccess; ++i) {
      if (event.type != kXidEvents) continue;
      for (size_t gpu = 0; gpu < handles.size(); ++gpu) {
        if (handles[gpu].first == event.device) gpus[gpu].xids.push_back(static_cast<unsigned>(event.data));
      }
    }
    for (const auto& [device, uuid] : handles) {
      if (!registered_.contains(device) && nvml_.register_events(device, kXidEvents, events_) == kSuccess) registered_.insert(device);
    }
  }

  void* library_;
  Functions nvml_;
  EventSet events_ = nullptr;  // the driver frees it at shutdown
  std::set<DeviceHandle> registered_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Nvml>> Nvml::Load(const std::string& library) {
  const std::string file = library.empty() ? "libnvidia-ml.so.1" : library;
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return absl::NotFoundError(absl::StrCat("no NVIDIA driver: ", dlerror()));
  }
  Functions nvml;
  const bool complete = Find(handle, nvml.init, {"nvmlInit_v2"}) && Find(handle, nvml.shutdown, {"nvmlShutdown"}) &&
                        Find(handle, nvml.error_string, {"nvmlErrorString"}) &&
                        Find(handle, nvml.driver_version, {"nvmlSystemGetDriverVersion"}) &&
                        Find(handle, nvml.count, {"nvmlDeviceGetCount_v2"}) &&
                        Find(handle, nvml.handle, {"nvmlDeviceGetHandleByIndex_v2"}) &&
                        Find(handle, nvml.name, {"nvmlDeviceGetName"}) && Find(handle, nvml.uuid, {"nvmlDeviceGetUUID"}) &&
                        Find(handle, nvml.memory, {"nvmlDeviceGetMemoryInfo"});
  if (!complete) {
    dlclose(handle);
    return absl::NotFoundError(absl::StrCat(file, " is not NVML as of driver 450 or later"));
  }
  Find(handle, nvml.utilization, {"nvmlDeviceGetUtilizationRates"});
  Find(handle, nvml.power, {"nvmlDeviceGetPowerUsage"});
  Find(handle, nvml.temperature, {"nvmlDeviceGetTemperature"});
  Find(handle, nvml.pci, {"nvmlDeviceGetPciInfo_v3"});
  Find(handle, nvml.capability, {"nvmlDeviceGetCudaComputeCapability"});
  Find(handle, nvml.p2p_status, {"nvmlDeviceGetP2PStatus"});
  Find(handle, nvml.event_set_create, {"nvmlEventSetCreate"});
  Find(handle, nvml.register_events, {"nvmlDeviceRegisterEvents"});
  Find(handle, nvml.event_wait, {"nvmlEventSetWait_v2", "nvmlEventSetWait"});
  Find(handle, nvml.processes, {"nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"});
  if (const Result result = nvml.init(); result != kSuccess) {
    std::string why = nvml.error_string(result);
    dlclose(handle);
    return absl::UnavailableError(absl::StrCat("the NVIDIA driver does not work: ", why));
  }
  return std::make_unique<LoadedNvml>(handle, nvml);
}

}  // namespace yoke::devices
