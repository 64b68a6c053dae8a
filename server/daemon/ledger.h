// What the scheduler is told beyond waiting jobs and devices: since when each attempt runs, what each owner has used,
// where the jobs are that others wait for.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/jobs/open_jobs.h"
#include "server/scheduler/plan.h"

namespace yoke::daemon {

// The same moment on two clocks: the scheduler's, which never goes back, and the one that records show.
struct Moment {
  scheduler::Seconds boot = 0;
  absl::Time wall;
};

// What a job says about its scheduling, except where its dependencies are.
void AddScheduling(const v1::Job& job, scheduler::WaitingJob& waiting);

// Knows nothing that a restart loses: it is rebuilt from the records. Not thread-safe.
class Ledger {
 public:
  // Where an ended job is; STATE_UNSPECIFIED: there is none of that id.
  using Lookup = std::function<v1::Job::State(const std::string& id)>;

  explicit Ledger(scheduler::Policy policy) : policy_(std::move(policy)) {}

  // The ended attempts of these jobs count as their owners' use. Before anything else, once for each job.
  void Seed(const std::vector<jobs::JobRecord>& jobs, Moment now);
  void SeedOpen(const jobs::OpenJobs& jobs, Moment now);

  // Fills in the rest of a snapshot whose jobs and devices are there. `open`: all jobs that have not ended. Attempts
  // that are gone since the last call have ended.
  void Complete(const jobs::OpenJobs& open, Moment now, const Lookup& lookup, scheduler::Snapshot& snapshot);

 private:
  struct Attempt {
    std::string owner;
    double devices = 0;
    scheduler::Seconds started = 0;
  };

  // A job's time is of the wall clock, which may jump; what is left of it is measured once, never more than the longest
  // delay between two tries, and waited for on the scheduler's clock.
  struct NextTry {
    absl::Time time;  // as the job has it
    scheduler::Seconds not_before = 0;
  };

  void SeedJob(const v1::Job& job, Moment now);
  void AddDependencies(const jobs::OpenJobs& open, const Lookup& lookup, scheduler::Snapshot& snapshot);
  void AddNextTries(const jobs::OpenJobs& open, Moment now, scheduler::Snapshot& snapshot);
  void AddUse(const std::string& owner, double device_seconds, scheduler::Seconds at);

  const scheduler::Policy policy_;
  std::map<std::string, Attempt> attempts_;                // by run id
  std::map<std::string, scheduler::Use> uses_;             // by owner
  std::map<std::string, v1::Job::State> ended_;            // jobs that others depend on
  std::map<std::string, NextTry> next_tries_;              // by job id
};

}  // namespace yoke::daemon
