// The devices of this machine and the strings by which people name them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "yoke/v1/device.pb.h"

namespace yoke::devices {

struct DeviceSelection {
  std::vector<v1::Device> devices;  // bound devices, in rank order; empty if the scheduler chooses
  int gpus_wanted = 0;              // for "-1" (1 each) and "gpus:N"; 0 when bound. With `cpu`: CPU slots wanted
  int world_size = 1;               // ranks
  int threads_per_rank = 1;         // of CPU slots
  bool cpu = false;                 // runs on CPU
  std::string sentence;             // for people
};

// Thread-safe; answers from the latest sample and never blocks on the driver.
class DeviceInventory {
 public:
  virtual ~DeviceInventory() = default;
  // Without lease states: the caller adds holders from the store. GPUs by PCI order, then CPU slots.
  virtual std::vector<v1::Device> Devices() const = 0;
  // InvalidArgument with a payload-free message that starts with the sentence for people, e.g.
  // "GPU 5 not available. Only 4 GPU(s) detected." ErrorReason() of the message's kind is in the
  // status payload "yoke.reason" (DEVICE_NOT_AVAILABLE, DEVICE_STRING_INVALID, DEVICE_DUPLICATE).
  virtual absl::StatusOr<DeviceSelection> Resolve(const std::string& device_string) const = 0;
  // Called after each sample that changed something.
  virtual void SetListener(std::function<void()> listener) = 0;
  virtual std::vector<v1::DeviceChoice> Choices() const = 0;
  virtual bool has_gpus() const = 0;
  // Processes that compute on a GPU now, ours and others'. Used before a device is freed. CPU slots: empty.
  virtual std::vector<int64_t> HolderPids(const std::string& uuid) const = 0;
  // UUIDs of the GPUs that NVLink joins it to, as far as the driver tells.
  virtual std::vector<std::string> Peers(const std::string& uuid) const { return {}; }
  // "550.54.14"; empty where no driver answers.
  virtual std::string DriverVersion() const { return ""; }
  // Why there are no GPUs or no fresh readings of them; empty while all is well.
  virtual std::string DriverProblem() const { return ""; }

  // Why no job can go on on it: the fault for which it is drained. Empty for an operator's drain, and while merely the
  // driver does not answer.
  virtual std::string FaultOf(const std::string& uuid) const { return ""; }
  // `device`: an index, "cpu:0", or the beginning of a UUID. Durable when it returns OK. InvalidArgument as Resolve.
  virtual absl::StatusOr<v1::Device> Drain(const std::string& device, const std::string& reason) { return absl::UnimplementedError("drain"); }
  // FailedPrecondition: the driver does not reach it.
  virtual absl::StatusOr<v1::Device> Resume(const std::string& device) { return absl::UnimplementedError("resume"); }
  // Drained GPUs that the driver has not listed since the start; they are not among Devices.
  virtual std::vector<v1::Device> Absent() const { return {}; }

  // When the latest reading of the GPUs began, on os::BootMilliseconds: HolderPids knows who held one then.
  virtual int64_t ReadingBeganMs() const { return INT64_MAX; }
  // Asks for a reading now instead of at the end of the interval. Cheap.
  virtual void ReadSoon() {}
};

class Drains;

struct InventoryOptions {
  std::string nvml_library;  // empty: libnvidia-ml.so.1 by the loader's search; "none": no GPUs
  int cpu_slots = 0;         // 0: one per core, at most 8
  absl::Duration sample_interval = absl::Seconds(1);
  absl::Duration driver_timeout = absl::Seconds(5);  // a driver call that takes longer counts as hanging
  std::shared_ptr<Drains> drains;  // null: known to this inventory alone
  std::string state_dir;           // whose attempts are no foreign processes; empty: all that carry a run id
};
// Waits for the first reading of the GPUs, at most `driver_timeout`.
std::unique_ptr<DeviceInventory> MakeInventory(const InventoryOptions& options);

}  // namespace yoke::devices
