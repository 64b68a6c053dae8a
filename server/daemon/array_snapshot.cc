#include "server/daemon/array_snapshot.h"

#include <algorithm>

#include "server/daemon/ledger.h"
#include "server/jobs/array.h"
#include "server/jobs/state_machine.h"

namespace yoke::daemon {

ArraySnapshot::ArraySnapshot(const jobs::OpenJobs& open) {
  for (size_t place = 0; place < open.size(); ++place) {
    const jobs::JobRecord& record = open[place];
    const v1::Job& job = record.public_job;
    if (jobs::IsArray(job)) {
      Seen& array = arrays_[record.id];
      array.record = &record;
      array.place = place;
    }
    if (!jobs::IsTask(job)) continue;
    Seen& array = arrays_[ArrayId(job)];
    if (jobs::HasLiveAttempt(job.state())) ++array.running;
    if (job.state() == v1::Job::QUEUED && job.reason() != v1::JobReason::WAITING_FOR_RETRY)
      ++array.ready;
  }
}

void ArraySnapshot::AddToTask(const v1::Job& task, scheduler::WaitingJob& waiting) const {
  const auto found = arrays_.find(ArrayId(task));
  if (found == arrays_.end() || found->second.record == nullptr) return;
  const jobs::JobRecord& array = *found->second.record;
  waiting.array = array.id;
  waiting.array_index = task.array_index();
  waiting.array_running_max = array.public_job.array().running_max();
  waiting.array_held = array.public_job.array().held();
  waiting.sequence = array.sequence;
}

std::vector<scheduler::WaitingJob> ArraySnapshot::Arrays() const {
  std::vector<scheduler::WaitingJob> waiting;
  for (const auto& [id, seen] : arrays_) {
    if (seen.record == nullptr || seen.ready > 0) continue;
    const v1::Job& job = seen.record->public_job;
    if (job.state() != v1::Job::QUEUED && job.state() != v1::Job::RUNNING) continue;
    const int most = job.array().running_max();
    const int left =
        std::min(jobs::TasksLeft(job), most > 0 ? most - seen.running : jobs::TasksLeft(job));
    if (left <= 0) continue;
    scheduler::WaitingJob array;
    array.id = id;
    array.priority = job.priority();
    array.sequence = seen.record->sequence;
    array.tasks_left = left;
    array.tag = seen.place;
    AddScheduling(job, array);
    // Met once, they are met for all tasks.
    if (job.array().made() > 0) array.dependencies.clear();
    waiting.push_back(std::move(array));
  }
  return waiting;
}

}  // namespace yoke::daemon
