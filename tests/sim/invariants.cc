// What holds in a World after every step.
#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "server/jobs/array.h"
#include "server/jobs/ids.h"
#include "server/jobs/state_machine.h"
#include "tests/sim/world.h"

namespace yoke::sim {
namespace {

using v1::Job;

bool SamePlan(const scheduler::Plan& a, const scheduler::Plan& b) {
  const auto same = [](const auto& left, const auto& right, auto equal) {
    return std::equal(left.begin(), left.end(), right.begin(), right.end(), equal);
  };
  return a.wake_at == b.wake_at &&
         same(a.starts, b.starts,
              [](const auto& x, const auto& y) {
                return x.job_id == y.job_id && x.device_uuids == y.device_uuids;
              }) &&
         same(a.waits, b.waits,
              [](const auto& x, const auto& y) {
                return x.job_id == y.job_id && x.reason == y.reason && x.sentence == y.sentence &&
                       x.earliest_start == y.earliest_start && x.earliest_why == y.earliest_why &&
                       x.place == y.place;
              }) &&
         same(a.ends, b.ends,
              [](const auto& x, const auto& y) {
                return x.job_id == y.job_id && x.sentence == y.sentence;
              }) &&
         same(a.stops, b.stops,
              [](const auto& x, const auto& y) {
                return x.job_id == y.job_id && x.why == y.why && x.grace == y.grace &&
                       x.for_job == y.for_job;
              }) &&
         same(a.makes, b.makes, [](const auto& x, const auto& y) {
           return x.array_id == y.array_id && x.tasks == y.tasks;
         });
}

}  // namespace

void World::CheckPlan(const scheduler::Snapshot& snapshot, const scheduler::Plan& plan) {
  scheduler::Snapshot shuffled = snapshot;
  std::reverse(shuffled.jobs.begin(), shuffled.jobs.end());
  if (!SamePlan(plan, scheduler::MakePlan(shuffled)))
    throw Violation{"equal snapshots gave other plans"};
  std::multiset<std::string> asked, answered;
  for (const scheduler::WaitingJob& job : snapshot.jobs) asked.insert(job.id);
  for (const scheduler::Start& start : plan.starts) answered.insert(start.job_id);
  for (const scheduler::Wait& wait : plan.waits) answered.insert(wait.job_id);
  for (const scheduler::End& end : plan.ends) answered.insert(end.job_id);
  for (const scheduler::Make& make : plan.makes) answered.insert(make.array_id);
  if (asked != answered) throw Violation{"a plan that does not answer for every job once"};
  CheckPassing(snapshot, plan);
  for (const scheduler::Wait& wait : plan.waits) {
    if (wait.sentence.empty() || (!wait.earliest_start && wait.earliest_why.empty()))
      throw Violation{absl::StrCat("nothing is said of ", wait.job_id)};
  }
}

// Who starts does not delay those of higher priority that wait for the same devices, and what is
// said about their earliest start holds.
void World::CheckPassing(const scheduler::Snapshot& snapshot, const scheduler::Plan& plan) const {
  std::map<std::string, const scheduler::WaitingJob*> jobs;
  for (const scheduler::WaitingJob& job : snapshot.jobs) jobs[job.id] = &job;
  std::set<std::string> broken;
  for (const scheduler::DeviceView& device : snapshot.devices) {
    if (!device.unusable.empty()) broken.insert(device.uuid);
  }
  for (const scheduler::Wait& wait : plan.waits) {
    const scheduler::WaitingJob& waiting = *jobs.at(wait.job_id);
    const bool reserves = wait.reason == v1::JobReason::WAITING_FOR_DEVICES ||
                          wait.reason == v1::JobReason::WAITING_FOR_PRIORITY;
    const bool stuck = std::any_of(waiting.bound.begin(), waiting.bound.end(),
                                   [&](const std::string& uuid) { return broken.contains(uuid); });
    if (!reserves || stuck) continue;
    for (const scheduler::Start& start : plan.starts) {
      const scheduler::WaitingJob& starting = *jobs.at(start.job_id);
      const bool shares =
          std::any_of(waiting.bound.begin(), waiting.bound.end(), [&](const std::string& uuid) {
            return std::find(start.device_uuids.begin(), start.device_uuids.end(), uuid) !=
                   start.device_uuids.end();
          });
      if (!shares) continue;
      const bool in_time = starting.time_limit > 0 && wait.earliest_start &&
                           snapshot.now + starting.time_limit <= *wait.earliest_start;
      // Behind one that waits as well nobody may know when it starts, and yet there may be time
      // until that one does.
      const bool must_not_pass =
          waiting.priority > starting.priority && (wait.place == 1 || starting.time_limit <= 0);
      // Who shares with others may start while there is room, and leave it to the next one in
      // parts.
      const bool both_share = waiting.share_bytes > 0 && starting.share_bytes > 0;
      if (!in_time && (must_not_pass || (wait.earliest_start && !both_share))) {
        throw Violation{absl::StrCat(start.job_id, " starts on a device of ", wait.job_id,
                                     ", which is delayed by that")};
      }
    }
  }
}

void World::CheckStart(const jobs::JobRecord& record, const scheduler::Start& start) const {
  const Job& job = record.public_job;
  const std::set<std::string> distinct(start.device_uuids.begin(), start.device_uuids.end());
  const int wanted = job.device_uuids_size() > 0
                         ? job.device_uuids_size()
                         : inventory_.Resolve(job.spec().device())->gpus_wanted;
  if (static_cast<int>(distinct.size()) != wanted)
    throw Violation{
        absl::StrCat(record.id, " gets ", distinct.size(), " devices instead of ", wanted)};
  for (const v1::Device& device : inventory_.Devices()) {
    if (device.state() == v1::Device::LOST && distinct.contains(device.uuid()))
      throw Violation{absl::StrCat(record.id, " gets a lost device")};
  }
  if (jobs::IsTask(job)) {
    const Job& array = store_.jobs.at(*jobs::ParseJobName(job.array_job())).public_job;
    const int most = array.array().running_max();
    if (most > 0 && array.array().running() >= most)
      throw Violation{absl::StrCat(record.id, " starts beside ", array.array().running(),
                                   " tasks of its array, which may run ", most)};
    if (array.state() == Job::HELD)
      throw Violation{absl::StrCat(record.id, " starts though its array is held")};
  }
  if (cancelled_.contains(record.id))
    throw Violation{absl::StrCat(record.id, " starts though it was cancelled")};
  if (const auto found = not_before_.find(record.id);
      found != not_before_.end() && now_ < found->second) {
    throw Violation{absl::StrCat(record.id, " starts before it may")};
  }
  for (const v1::Scheduling::Dependency& dependency : job.scheduling().dependencies()) {
    const Job::State state = store_.StateOf(*jobs::ParseJobName(dependency.job()));
    const bool ok = state == Job::SUCCEEDED;
    const bool met = jobs::IsTerminal(state) &&
                     (dependency.condition() == v1::Scheduling::Dependency::ANY ||
                      ok == (dependency.condition() == v1::Scheduling::Dependency::OK));
    if (!met)
      throw Violation{
          absl::StrCat(record.id, " starts before ", dependency.job(), " has ended as it must")};
  }
}

void World::CheckRunTime(const Process& process) const {
  const double limit = static_cast<double>(
      store_.jobs.at(process.job_id).public_job.scheduling().time_limit().seconds());
  if (limit <= 0 || process.disturbed || now_ - process.started <= limit + 0.01) return;
  throw Violation{
      absl::StrCat(process.job_id, " ran ", now_ - process.started, " s, its limit is ", limit)};
}

// Each index was made once, and the row counts what there is.
void World::CheckArray(const jobs::JobRecord& array) const {
  const v1::Array& said = array.public_job.array();
  v1::Array counted;
  std::set<int> indices;
  int tasks = 0;
  for (const auto& [id, record] : store_.jobs) {
    if (record.public_job.array_job() != array.public_job.name()) continue;
    jobs::CountTasks(record.public_job.state(), 1, counted);
    indices.insert(record.public_job.array_index());
    ++tasks;
  }
  const bool once = tasks == said.made() && static_cast<int>(indices.size()) == tasks &&
                    (tasks == 0 || (*indices.begin() == said.first() &&
                                    *indices.rbegin() == said.first() + said.made() - 1));
  if (!once || said.made() > said.count())
    throw Violation{absl::StrCat(array.id, " has made ", said.made(), " of ", said.count(),
                                 " tasks, there are ", tasks, " with ", indices.size(),
                                 " indices")};
  if (said.queued() != counted.queued() || said.running() != counted.running() ||
      said.succeeded() != counted.succeeded() || said.failed() != counted.failed() ||
      said.cancelled() != counted.cancelled()) {
    throw Violation{absl::StrCat(array.id, " counts ", said.ShortDebugString(), ", there are ",
                                 counted.ShortDebugString())};
  }
  if (!jobs::IsTerminal(array.public_job.state())) return;
  const bool succeeded = said.succeeded() == said.count();
  if (counted.queued() + counted.running() > 0 ||
      succeeded != (array.public_job.state() == Job::SUCCEEDED)) {
    throw Violation{absl::StrCat(array.id, " ended ", Job::State_Name(array.public_job.state()),
                                 ": ", said.ShortDebugString())};
  }
}

void World::CheckStore() const {
  std::map<std::string, int> by_owner, by_queue;
  for (const auto& [id, record] : store_.jobs) {
    const Job& job = record.public_job;
    if (jobs::IsArray(job)) {
      CheckArray(record);
      continue;
    }
    if (!jobs::HasLiveAttempt(job.state())) {
      if (record.stop_requested && !jobs::IsTerminal(job.state()))
        throw Violation{absl::StrCat(id, " waits with a stop of an earlier attempt")};
      continue;
    }
    if (policy_.owner_running_max > 0 && ++by_owner[job.owner()] > policy_.owner_running_max) {
      throw Violation{absl::StrCat(job.owner(), " runs more jobs than allowed")};
    }
    const auto queue_max = policy_.queue_running_max.find(job.scheduling().queue());
    if (queue_max != policy_.queue_running_max.end() &&
        ++by_queue[queue_max->first] > queue_max->second) {
      throw Violation{absl::StrCat("queue ", queue_max->first, " runs more jobs than allowed")};
    }
    for (const std::string& uuid : job.attempts().rbegin()->device_uuids()) {
      if (!store_.leases.contains({uuid, id}))
        throw Violation{absl::StrCat(id, " runs on ", uuid, " without its lease")};
    }
  }
  CheckLeases();
}

// A device is one job's own, or shared by jobs that fit into its memory together.
void World::CheckLeases() const {
  std::map<std::string, int64_t> alone, taken;
  for (const auto& [held, lease] : store_.leases) {
    const std::string& uuid = held.first;
    if (!jobs::HasLiveAttempt(store_.StateOf(lease.job_id)))
      throw Violation{absl::StrCat(uuid, " is leased to ", lease.job_id, ", which has ended")};
    lease.shared_bytes == 0 ? ++alone[uuid] : taken[uuid] += lease.shared_bytes;
    if (alone[uuid] > 1 || (alone[uuid] == 1 && taken[uuid] > 0))
      throw Violation{absl::StrCat(uuid, " is leased to ", lease.job_id, " and to another")};
    if (taken[uuid] > inventory_.memory())
      throw Violation{
          absl::StrCat(uuid, " is shared by more than fit, ", lease.job_id, " the last")};
  }
}

}  // namespace yoke::sim
