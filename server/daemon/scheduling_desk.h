// Where the dispatcher and those who ask about the queue get their snapshots: store, inventory and ledger together.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "server/daemon/ledger.h"
#include "server/devices/inventory.h"
#include "server/jobs/job_control.h"
#include "server/jobs/job_store.h"
#include "server/jobs/open_jobs.h"
#include "server/scheduler/plan.h"

namespace yoke::daemon {

struct DeskOptions {
  scheduler::Policy policy;
  std::set<std::string> queues = {jobs::kDefaultQueue};
  double preempt_grace_seconds = 10;
};

// "night=2,day" -> the queues night, of which at most 2 jobs run at once, and day, beside the default one.
// InvalidArgument names the word that is none.
absl::Status ParseQueues(const std::string& text, DeskOptions& options);

// Thread-safe. Store and inventory must outlive it.
class SchedulingDesk {
 public:
  SchedulingDesk(DeskOptions options, jobs::JobStore& store, const devices::DeviceInventory& inventory)
      : options_(std::move(options)), store_(store), inventory_(inventory), ledger_(options_.policy) {}

  // The snapshot of these jobs (TakeSnapshot) and leases, as of now.
  absl::StatusOr<scheduler::Snapshot> Take(const jobs::OpenJobs& open,
                                           const std::vector<jobs::Lease>& leases,
                                           size_t most_alike);
  // Makes a plan of all that is stored now; nothing of it is carried out.
  absl::StatusOr<jobs::QueueView> View();

  // Why the last plan could not be carried out, for View; empty: it was.
  void SetProblem(const std::string& problem) {
    MutexLock lock(mutex_);
    problem_ = problem;
  }

  const std::set<std::string>& queue_names() const { return options_.queues; }
  double preempt_grace_seconds() const { return options_.preempt_grace_seconds; }

 private:
  absl::Status Seed(const jobs::OpenJobs& open, Moment now) YOKE_REQUIRES(mutex_);

  const DeskOptions options_;
  jobs::JobStore& store_;
  const devices::DeviceInventory& inventory_;
  Mutex mutex_;
  bool seeded_ YOKE_GUARDED_BY(mutex_) = false;
  Ledger ledger_ YOKE_GUARDED_BY(mutex_);
  std::string problem_ YOKE_GUARDED_BY(mutex_);
};

}  // namespace yoke::daemon
