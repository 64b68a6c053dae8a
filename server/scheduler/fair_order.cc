#include "server/scheduler/fair_order.h"

#include <algorithm>
#include <cmath>

namespace yoke::scheduler {

bool FairOrder::SubmittedBefore(const Entry& a, const Entry& b) {
  if (a.sequence != b.sequence) return a.sequence < b.sequence;
  return a.job->array_index != b.job->array_index ? a.job->array_index < b.job->array_index
                                                  : a.job->id < b.job->id;
}

bool FairOrder::Turn::operator<(const Turn& other) const {
  return use != other.use ? use < other.use : SubmittedBefore(job, other.job);
}

double Decayed(const Use& use, Seconds now, Seconds half_life) {
  return use.device_seconds * std::exp2(-std::max(0.0, now - use.at) / std::max(1.0, half_life));
}

std::map<std::string, double> UseByOwner(const Snapshot& snapshot) {
  std::map<std::string, double> by_owner;
  for (const Use& use : snapshot.uses) {
    by_owner[use.owner] += Decayed(use, snapshot.now, snapshot.policy.half_life);
  }
  for (const RunningJob& job : snapshot.running) {
    const Seconds ran = std::max(0.0, snapshot.now - job.started);
    by_owner[job.owner] += ran * static_cast<double>(job.devices.size());
  }
  return by_owner;
}

FairOrder::FairOrder(const Snapshot& snapshot) {
  for (const auto& [name, use] : UseByOwner(snapshot)) owners_[name].use = use;
  jobs_.reserve(snapshot.jobs.size() + snapshot.repeats.size());
  for (const WaitingJob& job : snapshot.jobs) jobs_.push_back({&job, job.sequence, false});
  for (const Repeat& repeat : snapshot.repeats)
    jobs_.push_back({&snapshot.jobs[repeat.like], repeat.sequence, true});
  std::sort(jobs_.begin(), jobs_.end(), [](const Entry& a, const Entry& b) {
    return a.job->priority != b.job->priority ? a.job->priority > b.job->priority
                                              : SubmittedBefore(a, b);
  });
}

const WaitingJob* FairOrder::Next() {
  if (last_ != nullptr) Enqueue(*last_);
  last_ = nullptr;
  if (turns_.empty()) FillPriority();
  if (turns_.empty()) return nullptr;
  last_ = turns_.begin()->owner;
  turns_.erase(turns_.begin());
  const Entry next = last_->jobs.back();
  last_->jobs.pop_back();
  repeated_ = next.repeat;
  return next.job;
}

void FairOrder::Charge(double device_seconds) { last_->use += device_seconds; }

void FairOrder::FillPriority() {
  size_t end = taken_;
  while (end < jobs_.size() && jobs_[end].job->priority == jobs_[taken_].job->priority) ++end;
  std::set<Owner*> filled;
  for (size_t i = end; i > taken_; --i) {
    Owner& owner = owners_[jobs_[i - 1].job->owner];
    owner.jobs.push_back(jobs_[i - 1]);
    filled.insert(&owner);
  }
  taken_ = end;
  for (Owner* owner : filled) Enqueue(*owner);
}

void FairOrder::Enqueue(Owner& owner) {
  if (!owner.jobs.empty()) turns_.insert({owner.use, owner.jobs.back(), &owner});
}

}  // namespace yoke::scheduler
