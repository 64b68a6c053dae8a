#include "tests/sim/model.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/jobs/state_machine.h"

namespace yoke::sim {

ModelInventory::ModelInventory(int gpus) {
  for (int i = 0; i < gpus; ++i) {
    v1::Device device;
    device.set_uuid(absl::StrCat("GPU-", i));
    device.set_kind(v1::Device::GPU);
    device.set_index(i);
    device.set_state(v1::Device::FREE);
    device.set_memory_total_bytes(memory());
    devices_.push_back(std::move(device));
  }
}

absl::StatusOr<devices::DeviceSelection> ModelInventory::Resolve(
    const std::string& device_string) const {
  devices::DeviceSelection selection;
  if (!absl::StartsWith(device_string, "gpus:") ||
      !absl::SimpleAtoi(device_string.substr(5), &selection.gpus_wanted)) {
    return absl::InvalidArgumentError(device_string);
  }
  selection.world_size = selection.gpus_wanted;
  return selection;
}

void ModelInventory::SetLost(int index, bool lost) {
  devices_[static_cast<size_t>(index)].set_state(lost ? v1::Device::LOST : v1::Device::FREE);
}

std::vector<jobs::JobRecord> ModelStore::Open() const {
  std::vector<jobs::JobRecord> open;
  for (const auto& [id, job] : jobs) {
    if (!jobs::IsTerminal(job.public_job.state())) open.push_back(job);
  }
  return open;
}

std::vector<jobs::JobRecord> ModelStore::Ended() const {
  std::vector<jobs::JobRecord> ended;
  for (const auto& [id, job] : jobs) {
    if (jobs::IsTerminal(job.public_job.state())) ended.push_back(job);
  }
  return ended;
}

std::vector<jobs::Lease> ModelStore::Leases() const {
  std::vector<jobs::Lease> all;
  for (const auto& [held, lease] : leases) all.push_back(lease);
  return all;
}

v1::Job::State ModelStore::StateOf(const std::string& id) const {
  const auto found = jobs.find(id);
  return found == jobs.end() ? v1::Job::STATE_UNSPECIFIED : found->second.public_job.state();
}

}  // namespace yoke::sim
