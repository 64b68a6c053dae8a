#include "server/launcher/quarantine.h"

#include <vector>

#include "common/os/clock.h"
#include "server/launcher/sweep.h"
#include "spdlog/spdlog.h"

namespace yoke::launcher {
namespace {

// Between two readings of the GPUs lies a second.
constexpr int64_t kReadingAgeMaxMs = 3000;

bool Release(const jobs::Lease& lease, jobs::JobStore& store,
             const devices::DeviceInventory& inventory) {
  const auto updated = store.Update(
      lease.job_id, [&](jobs::JobRecord& job, jobs::JobStore::LeaseChange& change) -> absl::Status {
        if (lease.attempt < 1 || lease.attempt > job.public_job.attempts_size())
          return absl::InternalError("lease of an unknown attempt");
        const std::vector<pid_t> left =
            KillMarked(job.public_job.attempts(lease.attempt - 1).run_id());
        const Emptiness empty = LookForHolders(inventory, {lease.device_uuid}, left,
                                               os::BootMilliseconds() - kReadingAgeMaxMs);
        if (!empty.held.empty()) return absl::FailedPreconditionError("still held");
        change.release = {lease.device_uuid};
        return absl::OkStatus();
      });
  if (updated.ok()) spdlog::info("device {}: empty, no longer quarantined", lease.device_uuid);
  return updated.ok();
}

}  // namespace

bool ReleaseEmptied(jobs::JobStore& store, const devices::DeviceInventory& inventory) {
  const absl::StatusOr<std::vector<jobs::Lease>> leases = store.ListLeases();
  if (!leases.ok()) {
    spdlog::error("{}", leases.status().ToString());
    return true;
  }
  bool any = false;
  for (const jobs::Lease& lease : *leases) {
    if (lease.quarantined && !Release(lease, store, inventory)) any = true;
  }
  return any;
}

}  // namespace yoke::launcher
