// The parts of the world around the scheduler, as a model: what is stored, which devices there are,
// which processes run. They outlive the modelled daemon; no file, clock, thread or process is real.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/devices/inventory.h"
#include "server/jobs/job_store.h"

namespace yoke::sim {

// Devices that can be lost and come back. `gpus:N` is the only string it resolves.
class ModelInventory : public devices::DeviceInventory {
 public:
  explicit ModelInventory(int gpus);

  std::vector<v1::Device> Devices() const override { return devices_; }
  absl::StatusOr<devices::DeviceSelection> Resolve(const std::string& device_string) const override;
  void SetListener(std::function<void()>) override {}
  std::vector<v1::DeviceChoice> Choices() const override { return {}; }
  bool has_gpus() const override { return true; }
  std::vector<int64_t> HolderPids(const std::string&) const override { return {}; }

  int size() const { return static_cast<int>(devices_.size()); }
  const std::string& uuid(int index) const { return devices_[static_cast<size_t>(index)].uuid(); }
  int64_t memory() const { return int64_t{24} << 30; }  // of each
  void SetLost(int index, bool lost);

 private:
  std::vector<v1::Device> devices_;
};

// Jobs and leases. Every edit is kept at once and whole, as the store's transactions are.
struct ModelStore {
  std::map<std::string, jobs::JobRecord> jobs;
  std::map<std::pair<std::string, std::string>, jobs::Lease> leases;  // by device and job

  std::vector<jobs::JobRecord> Open() const;  // by sequence
  std::vector<jobs::JobRecord> Ended() const;
  std::vector<jobs::Lease> Leases() const;
  v1::Job::State StateOf(const std::string& id) const;
};

// The processes of one attempt, from their start until the daemon has seen their end.
struct Process {
  std::string job_id, run_id;
  std::vector<std::string> devices;
  double started = 0;
  double ends_at = 0;                  // by itself
  double stops_within = 0;             // takes so long to save once it was asked to stop
  std::optional<double> stop_ends_at;  // of a stop that was asked for
  bool fails = false;                  // at its end, instead of succeeding
  bool alive = true;
  bool stopped = false;    // ended because of the stop
  bool lost = false;       // ended without a record
  bool disturbed = false;  // the daemon was away meanwhile, or a clock jumped
};

}  // namespace yoke::sim
