// Joins the pure scheduler with the world: whenever jobs or devices change, or a moment comes that a plan named, it
// takes a snapshot, asks for a plan and carries it out. One thread, no tick.
#pragma once

#include <thread>

#include "common/base/mutex.h"
#include "server/daemon/scheduling_desk.h"
#include "server/devices/inventory.h"
#include "server/jobs/job_store.h"
#include "server/launcher/launcher.h"
#include "server/scheduler/plan.h"

namespace yoke::daemon {

// What the scheduler shall see of waiting jobs and devices. Pure.
scheduler::Snapshot TakeSnapshot(const std::vector<jobs::JobRecord>& open, const std::vector<jobs::Lease>& leases,
                                 const devices::DeviceInventory& inventory);

// Thread-safe. Everything given must outlive it.
class Dispatcher {
 public:
  Dispatcher(jobs::JobStore& store, devices::DeviceInventory& inventory, launcher::Launcher& launcher, SchedulingDesk& desk);
  ~Dispatcher();

  // Something changed. Cheap, from any thread.
  void Wake();

 private:
  void Loop();
  absl::Status Dispatch();
  absl::Status CarryOut(const scheduler::Plan& plan, const std::vector<jobs::JobRecord>& open);
  absl::Status CarryOutStop(const scheduler::Stop& stop);

  jobs::JobStore& store_;
  devices::DeviceInventory& inventory_;
  launcher::Launcher& launcher_;
  SchedulingDesk& desk_;
  scheduler::Seconds wake_at_ = scheduler::kNever;  // of the thread, on CLOCK_BOOTTIME
  Mutex mutex_;
  CondVar woken_;
  bool pending_ YOKE_GUARDED_BY(mutex_) = true;  // the first plan needs no cause
  bool stopping_ YOKE_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace yoke::daemon
