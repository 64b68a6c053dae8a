// What the scheduler sees of arrays and of their tasks that wait.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "server/jobs/open_jobs.h"
#include "server/scheduler/plan.h"

namespace yoke::daemon {

// Of one snapshot. Pure.
class ArraySnapshot {
 public:
  // `open` must outlive it.
  explicit ArraySnapshot(const jobs::OpenJobs& open);

  // The place and the limit that a task has from its array.
  void AddToTask(const v1::Job& task, scheduler::WaitingJob& waiting) const;
  // The arrays of which tasks may be made: one task or more than one waits for devices at any time,
  // so that the scheduler knows what they wait for; the others take no room. Tagged with their places.
  std::vector<scheduler::WaitingJob> Arrays() const;

 private:
  struct Seen {
    const jobs::JobRecord* record = nullptr;
    size_t place = 0;  // of the record among the open jobs
    int running = 0;  // tasks with a live attempt
    int ready = 0;    // tasks that wait, but not for their next try
  };
  std::map<std::string, Seen> arrays_;  // by id
};

}  // namespace yoke::daemon
