// Joins the pure scheduler with the world: whenever jobs or devices change, or a moment comes that a plan named, it
// takes a snapshot, asks for a plan and carries it out. One thread, no tick.
#pragma once

#include <chrono>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/os/pulse.h"
#include "server/daemon/scheduling_desk.h"
#include "server/devices/inventory.h"
#include "server/jobs/job_store.h"
#include "server/jobs/open_jobs.h"
#include "server/launcher/launcher.h"
#include "server/scheduler/plan.h"

namespace yoke::daemon {

// Of jobs that differ in nothing, so many are planned at once. More than can start together on one
// machine, and than have their sentences kept up to date.
inline constexpr size_t kAlikePlanned = 256;

// What the scheduler shall see of waiting jobs and devices; of a long queue of like jobs no more
// than `most_alike` (AlikeJobs). Pure.
scheduler::Snapshot TakeSnapshot(const jobs::OpenJobs& open, const std::vector<jobs::Lease>& leases,
                                 const devices::DeviceInventory& inventory, size_t most_alike);

// Thread-safe. Everything given must outlive it.
class Dispatcher {
 public:
  Dispatcher(jobs::JobStore& store, devices::DeviceInventory& inventory, launcher::Launcher& launcher, SchedulingDesk& desk);
  ~Dispatcher();

  // Something changed. Cheap, from any thread.
  void Wake();

  // Of its thread.
  const os::Pulse& pulse() const { return pulse_; }

 private:
  void Loop();
  absl::Status Dispatch();
  // Until the moment that the last plan named, or the end of a rest that put a plan off.
  std::chrono::milliseconds UntilDue() const;
  // While the thread rests: whether a job could start that could not at the last plan.
  bool MayStart(const std::vector<jobs::Lease>& leases) const;
  absl::Status CarryOut(const scheduler::Plan& plan, const jobs::OpenJobs& open);
  absl::Status CarryOutStop(const scheduler::Stop& stop);
  // Writes what waiting jobs say, or puts it off.
  absl::Status Explain(const scheduler::Plan& plan, const jobs::OpenJobs& open);

  jobs::JobStore& store_;
  devices::DeviceInventory& inventory_;
  launcher::Launcher& launcher_;
  SchedulingDesk& desk_;
  os::Pulse pulse_;
  scheduler::Seconds wake_at_ = scheduler::kNever;  // of the thread, on CLOCK_BOOTTIME
  Mutex mutex_;
  CondVar woken_;
  bool pending_ YOKE_GUARDED_BY(mutex_) = true;  // the first plan needs no cause
  bool stopping_ YOKE_GUARDED_BY(mutex_) = false;
  // Of the thread. A plan costs time for every job that waits; where it could only change what they
  // say, it is put off until the rest is over.
  std::chrono::steady_clock::time_point rest_until_;
  bool put_off_ = false;
  // What jobs say while they wait changes with every start; starts come first, and few of these changes are written.
  std::chrono::steady_clock::time_point explain_after_;
  bool explain_later_ = false;
  std::vector<jobs::Lease> planned_leases_;
  std::thread thread_;
};

}  // namespace yoke::daemon
