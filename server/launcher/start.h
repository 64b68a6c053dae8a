// The steps of a start, in their order: transaction, attempt folder (launcher.cc), shim.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/devices/inventory.h"
#include "server/jobs/job_store.h"
#include "server/launcher/attempt_folder.h"
#include "server/launcher/launcher.h"
#include "server/launcher/rank_layout.h"

namespace yoke::launcher {

// This machine's devices of these UUIDs, in this order. NotFound names the one that is not there.
absl::StatusOr<std::vector<v1::Device>> FindDevices(const devices::DeviceInventory& inventory, const std::vector<std::string>& uuids);
Machine ThisMachine(const devices::DeviceInventory& inventory);

// What `asked` (a job's name, or a path) means to continue from: that job's run folder, or the path. NotFound.
absl::StatusOr<std::string> ResumeFolder(const std::string& jobs_root, jobs::JobStore& store, const std::string& asked);

// Of each job attempt n+1 with its run id, leases, banner; state STARTING. All with one commit; how each went.
std::vector<absl::Status> CommitStarts(const LauncherOptions& options, jobs::JobStore& store, const devices::DeviceInventory& inventory,
                                       const std::vector<StartOrder>& orders);

// spec.json of the job's newest attempt.
absl::StatusOr<ipc::AttemptSpec> MakeAttemptSpec(const LauncherOptions& options, jobs::JobStore& store, const devices::DeviceInventory& inventory,
                                                 const jobs::JobRecord& job);

// In a session of its own, its output in shim.log.
absl::StatusOr<pid_t> SpawnShim(const std::string& shim_path, const AttemptFolder& folder);

}  // namespace yoke::launcher
