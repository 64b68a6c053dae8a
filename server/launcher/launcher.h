// Starts, adopts, watches and stops attempts. One thread; nothing in it waits for a process.
//
//   Launcher launcher(options, store, inventory);
//   launcher.Begin();              // adopts what lives, finishes what ended, starts what was interrupted
//   launcher.StartEach({{job, uuids}});  // commits the attempt and its leases, then starts it in the background
//   ~Launcher                      // attempts go on
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/os/pulse.h"
#include "server/devices/inventory.h"
#include "server/jobs/job_store.h"
#include "server/launcher/ending.h"

namespace yoke::launcher {

struct LauncherOptions {
  std::string state_dir;    // absolute
  std::string worker_path;  // absolute
  std::string shim_path;    // absolute
  Tries tries;
  double grace_seconds = 10;
  double hang_seconds = 120;
  int processes_max = 4096;  // of an attempt, threads included
  bool use_cgroups = true;   // where this machine lets us
  int64_t log_bytes_max = 0;
};

struct StartOrder {
  std::string job_id;
  std::vector<std::string> device_uuids;  // in rank order
};

// Thread-safe. The store and the inventory must outlive it.
class Launcher {
 public:
  virtual ~Launcher() = default;

  // Looks at every attempt the store calls alive. Call once, before Start.
  virtual absl::Status Begin() = 0;
  // One transaction for each, all with one commit: attempt n+1, its leases, state STARTING; the rest follows in the
  // background and shows in the job's state. How each went; FailedPrecondition: the job no longer waits, or a device was
  // taken.
  virtual std::vector<absl::Status> StartEach(const std::vector<StartOrder>& orders) = 0;
  // Carries out a stop whose intent the store already holds.
  virtual void CarryOutStop(const std::string& job_id) = 0;
  // Devices have new readings: quarantined ones may be empty now, leased ones may have failed. Cheap, from any thread.
  virtual void DevicesChanged() = 0;
  // How the processes of an attempt are kept together: "cgroup (…)" or "subreaper (why)".
  virtual const std::string& containment() const = 0;
  // Of its thread.
  virtual const os::Pulse& pulse() const = 0;
};

std::unique_ptr<Launcher> MakeLauncher(const LauncherOptions& options, jobs::JobStore& store, devices::DeviceInventory& inventory);

}  // namespace yoke::launcher
