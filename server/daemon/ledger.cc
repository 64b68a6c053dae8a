#include "server/daemon/ledger.h"

#include <algorithm>

#include "google/protobuf/util/time_util.h"
#include "server/jobs/ids.h"
#include "server/jobs/state_machine.h"
#include "server/scheduler/fair_order.h"

namespace yoke::daemon {
namespace {

using google::protobuf::util::TimeUtil;
using scheduler::Seconds;

constexpr Seconds kRetryDelayMax = 60;

double InSeconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(TimeUtil::DurationToMilliseconds(duration)) / 1000;
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixMillis(TimeUtil::TimestampToMilliseconds(time));
}

// A moment of the records on the scheduler's clock; never in the future, whatever the wall clock was.
Seconds OnBootClock(const google::protobuf::Timestamp& time, Moment now) {
  return now.boot - std::max(0.0, absl::ToDoubleSeconds(now.wall - ToTime(time)));
}

}  // namespace

void AddScheduling(const v1::Job& job, scheduler::WaitingJob& waiting) {
  const v1::Scheduling& asked = job.scheduling();
  waiting.owner = job.owner();
  waiting.queue = asked.queue();
  waiting.time_limit = InSeconds(asked.time_limit());
  for (const v1::Scheduling::Dependency& dependency : asked.dependencies()) {
    const absl::StatusOr<std::string> id = jobs::ParseJobName(dependency.job());
    waiting.dependencies.push_back({id.value_or(dependency.job()), dependency.condition()});
  }
}

void Ledger::Seed(const std::vector<jobs::JobRecord>& jobs, Moment now) {
  for (const jobs::JobRecord& job : jobs) SeedJob(job.public_job, now);
}

void Ledger::SeedOpen(const jobs::OpenJobs& jobs, Moment now) {
  for (const jobs::JobRecord& job : jobs) SeedJob(job.public_job, now);
}

void Ledger::SeedJob(const v1::Job& job, Moment now) {
  for (const v1::Attempt& attempt : job.attempts()) {
    if (!attempt.has_end_time()) continue;
    const Seconds end = OnBootClock(attempt.end_time(), now);
    const Seconds ran = std::max(0.0, end - OnBootClock(attempt.start_time(), now));
    AddUse(job.owner(), ran * attempt.device_uuids_size(), end);
  }
}

void Ledger::Complete(const jobs::OpenJobs& open, Moment now, const Lookup& lookup,
                      scheduler::Snapshot& snapshot) {
  std::map<std::string, Attempt> attempts;
  for (const jobs::JobRecord& record : open) {
    const v1::Job& job = record.public_job;
    if (!jobs::HasLiveAttempt(job.state()) || job.attempts_size() == 0) continue;
    const v1::Attempt& newest = job.attempts(job.attempts_size() - 1);
    const auto known = attempts_.find(newest.run_id());
    Attempt attempt{job.owner(), static_cast<double>(newest.device_uuids_size()), 0};
    attempt.started = known != attempts_.end() ? known->second.started : OnBootClock(newest.start_time(), now);
    scheduler::RunningJob running;
    running.id = record.id;
    running.owner = job.owner();
    running.queue = job.scheduling().queue();
    running.priority = job.priority();
    running.devices.assign(newest.device_uuids().begin(), newest.device_uuids().end());
    running.started = attempt.started;
    running.time_limit = InSeconds(job.scheduling().time_limit());
    running.signal_before = InSeconds(job.scheduling().signal_before());
    running.preemptible = job.scheduling().preemptible();
    running.stopping = job.state() == v1::Job::STOPPING;
    running.stop_grace = record.stop_grace_seconds;
    snapshot.running.push_back(std::move(running));
    attempts.emplace(newest.run_id(), std::move(attempt));
  }
  for (const auto& [run_id, attempt] : attempts_) {
    if (!attempts.contains(run_id)) AddUse(attempt.owner, attempt.devices * (now.boot - attempt.started), now.boot);
  }
  attempts_ = std::move(attempts);
  AddDependencies(open, lookup, snapshot);
  AddNextTries(open, now, snapshot);
  for (const auto& [owner, use] : uses_) snapshot.uses.push_back(use);
  snapshot.now = now.boot;
  snapshot.policy = policy_;
}

void Ledger::AddDependencies(const jobs::OpenJobs& open, const Lookup& lookup, scheduler::Snapshot& snapshot) {
  std::map<std::string, v1::Job::State> states, ended;
  for (const scheduler::WaitingJob& job : snapshot.jobs) {
    for (const scheduler::Dependency& dependency : job.dependencies) states[dependency.job_id] = v1::Job::STATE_UNSPECIFIED;
  }
  if (!states.empty()) {
    for (const jobs::JobRecord& record : open) {
      if (const auto found = states.find(record.id); found != states.end()) found->second = record.public_job.state();
    }
  }
  for (scheduler::WaitingJob& job : snapshot.jobs) {
    for (scheduler::Dependency& dependency : job.dependencies) {
      dependency.state = states[dependency.job_id];
      if (dependency.state != v1::Job::STATE_UNSPECIFIED) continue;
      const auto known = ended_.find(dependency.job_id);
      dependency.state = known != ended_.end() ? known->second : lookup(dependency.job_id);
      if (jobs::IsTerminal(dependency.state)) ended[dependency.job_id] = dependency.state;
    }
  }
  ended_ = std::move(ended);
}

void Ledger::AddNextTries(const jobs::OpenJobs& open, Moment now, scheduler::Snapshot& snapshot) {
  std::map<std::string, NextTry> next_tries;
  std::map<std::string, std::string> why;
  for (const jobs::JobRecord& record : open) {
    const v1::Job& job = record.public_job;
    if (job.state() != v1::Job::QUEUED || !job.has_next_attempt_time()) continue;
    const absl::Time time = ToTime(job.next_attempt_time());
    const auto known = next_tries_.find(record.id);
    const double left = std::clamp(absl::ToDoubleSeconds(time - now.wall), 0.0, kRetryDelayMax);
    next_tries[record.id] = known != next_tries_.end() && known->second.time == time ? known->second : NextTry{time, now.boot + left};
    if (job.reason() == v1::JobReason::WAITING_FOR_RETRY) why[record.id] = job.message();
  }
  next_tries_ = std::move(next_tries);
  if (next_tries_.empty()) return;
  for (scheduler::WaitingJob& job : snapshot.jobs) {
    const auto found = next_tries_.find(job.id);
    if (found == next_tries_.end()) continue;
    job.not_before = found->second.not_before;
    job.not_before_why = why[job.id];
  }
}

void Ledger::AddUse(const std::string& owner, double device_seconds, Seconds at) {
  const auto [found, fresh] = uses_.try_emplace(owner, scheduler::Use{owner, device_seconds, at});
  if (fresh) return;
  scheduler::Use& use = found->second;
  const Seconds latest = std::max(use.at, at);
  const scheduler::Use added{owner, device_seconds, at};
  use.device_seconds = scheduler::Decayed(use, latest, policy_.half_life) +
                       scheduler::Decayed(added, latest, policy_.half_life);
  use.at = latest;
}

}  // namespace yoke::daemon
