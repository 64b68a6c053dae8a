// NVIDIA's management library, loaded at run time: a machine without a driver runs the same program.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace yoke::devices {

struct GpuReading {
  std::string uuid, name, pci_bus_id, compute_capability;
  int64_t memory_total_bytes = 0, memory_used_bytes = 0;
  std::optional<double> utilization_percent, power_watts, temperature_celsius;
  std::vector<int64_t> pids;  // compute processes
  std::vector<std::string> peers;  // UUIDs of the GPUs that NVLink joins it to
  std::string lost;           // why the driver no longer reaches it; empty while it does
  std::vector<unsigned> xids;  // errors of the hardware or the driver (NVIDIA's numbers) since the last reading
};

struct NvmlReading {
  std::string driver_version;
  std::vector<GpuReading> gpus;  // by PCI order
};

// Calls may block for as long as the driver hangs: use it from a thread that nobody waits for.
// Not thread-safe.
class Nvml {
 public:
  // NotFound: no library; Unavailable: it is there but says there is no working driver.
  static absl::StatusOr<std::unique_ptr<Nvml>> Load(const std::string& library);
  virtual ~Nvml() = default;
  // A GPU that cannot even be named by UUID is left out; a lost one has `lost` set.
  virtual absl::StatusOr<NvmlReading> Read() = 0;
};

}  // namespace yoke::devices
