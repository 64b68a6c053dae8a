// Which running jobs are stopped so that one of higher priority can start.
#pragma once

#include <set>
#include <vector>

#include "server/scheduler/board.h"

namespace yoke::scheduler {

// Of one plan. The board must outlive it; what is stopped is marked there.
class Preemption {
 public:
  Preemption(const Snapshot& snapshot, Board& board) : snapshot_(snapshot), board_(board) {}

  // Stops the holders of all of `blocked`, if that is allowed for each and nobody ahead waits for
  // any of them. Nobody is stopped for a job that shares.
  void FreeThese(const WaitingJob& job, const std::vector<Slot*>& blocked);
  // Stops as few holders as give the job `missing` more of `candidates`: those of the lowest
  // priority, of these the ones that lose the least. Nothing if that is not enough.
  void FreeAny(const WaitingJob& job, const std::vector<Slot*>& candidates, size_t missing);

  std::vector<Stop> TakeStops() { return std::move(stops_); }
  // When a job that was spared has run long enough.
  Seconds wake_at() const { return wake_at_; }

 private:
  // May be stopped for the job, now.
  bool MayStop(const RunningJob& victim, const WaitingJob& job);
  void StopFor(const WaitingJob& job, const std::set<const RunningJob*>& victims);

  const Snapshot& snapshot_;
  Board& board_;
  std::vector<Stop> stops_;
  Seconds wake_at_ = kNever;
};

}  // namespace yoke::scheduler
