#include "server/scheduler/preemption.h"

#include <algorithm>
#include <map>

namespace yoke::scheduler {

bool Preemption::MayStop(const RunningJob& victim, const WaitingJob& job) {
  if (!victim.preemptible || victim.priority >= job.priority) return false;
  const Seconds ripe = victim.started + snapshot_.policy.min_run_time;
  if (snapshot_.now >= ripe) return true;
  wake_at_ = std::min(wake_at_, ripe);
  return false;
}

void Preemption::FreeThese(const WaitingJob& job, const std::vector<Slot*>& blocked) {
  std::set<const RunningJob*> victims;
  if (job.share_bytes > 0) return;
  for (const Slot* slot : blocked) {
    if (slot->claimed() || slot->holders.empty() || !slot->shared_by.empty()) return;
    for (const RunningJob* holder : slot->holders) {
      if (board_.IsStopping(*holder)) continue;
      if (!MayStop(*holder, job)) return;
      victims.insert(holder);
    }
  }
  StopFor(job, victims);
}

void Preemption::FreeAny(const WaitingJob& job, const std::vector<Slot*>& candidates,
                         size_t missing) {
  std::map<const RunningJob*, size_t> gains;  // victim -> candidates that it holds
  size_t coming = 0;                          // without stopping anybody else
  for (const Slot* slot : candidates) {
    if (slot->claimed() || slot->holders.empty() || !slot->shared_by.empty()) continue;
    if (slot->stopping) {
      ++coming;
    } else if (slot->holders.size() == 1 && MayStop(*slot->holders[0], job)) {
      ++gains[slot->holders[0]];
    }
  }
  if (coming >= missing || job.share_bytes > 0) return;
  std::vector<const RunningJob*> order;
  for (const auto& [victim, gain] : gains) order.push_back(victim);
  std::sort(order.begin(), order.end(), [](const RunningJob* a, const RunningJob* b) {
    if (a->priority != b->priority) return a->priority < b->priority;
    return a->started != b->started ? a->started > b->started : a->id < b->id;
  });
  std::set<const RunningJob*> victims;
  size_t gained = coming;
  for (const RunningJob* victim : order) {
    if (gained >= missing) break;
    victims.insert(victim);
    gained += gains[victim];
  }
  if (gained >= missing) StopFor(job, victims);
}

void Preemption::StopFor(const WaitingJob& job, const std::set<const RunningJob*>& victims) {
  std::vector<const RunningJob*> sorted(victims.begin(), victims.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const RunningJob* a, const RunningJob* b) { return a->id < b->id; });
  for (const RunningJob* victim : sorted) {
    stops_.push_back({victim->id, Stop::Why::kPreempt, 0, job.id});
    board_.MarkStopping(*victim);
  }
}

}  // namespace yoke::scheduler
