// The devices while a plan is made: which are free, who has reserved them from when, and that in
// words.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/scheduler/plan.h"

namespace yoke::scheduler {

struct Slot {
  const DeviceView* device = nullptr;
  // Who holds it: one, or those that share it; none: nobody, or somebody the snapshot says nothing
  // about.
  std::vector<const RunningJob*> holders;
  // Of one that is shared: what they have taken together, and when each of them gives it back.
  int64_t shared_bytes = 0;
  struct Leave {
    Seconds at = 0;
    int64_t bytes = 0;
  };
  std::vector<Leave> leaves;
  std::string shared_by;               // the last job of this plan that got a share of it
  bool free = false;                   // usable, held by nobody and not given out by this plan
  bool stopping = false;               // its holder was asked to stop
  Seconds available = 0;               // when the next in line can have it; kNever: nobody knows
  std::string unknown_why;             // why nobody knows
  std::string claimed_by;              // the first job of this plan that got it or waits for it
  Seconds gap_end = kNever;            // until then it may be used before that job

  bool usable() const { return device->unusable.empty(); }
  bool claimed() const { return !claimed_by.empty(); }
  int64_t left_bytes() const { return device->memory_bytes - shared_bytes; }
};

struct Reservation {
  Seconds start = 0;        // kNever: nobody knows
  std::string unknown_why;  // why nobody knows
};

class Board {
 public:
  explicit Board(const Snapshot& snapshot);
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

  // By index, GPUs before CPU slots.
  std::vector<Slot>& slots() { return slots_; }
  Slot* Find(const std::string& uuid);

  // Whether the job, if it runs for `time_limit` (0: nobody knows how long), may have it now, or
  // its share of it.
  bool MayStart(const Slot& slot, const WaitingJob& job, Seconds time_limit) const;

  void Give(const WaitingJob& job, const std::vector<Slot*>& slots);
  // The job will get these, all at one time: when the last of them is available.
  Reservation Reserve(const WaitingJob& job, const std::vector<Slot*>& slots);
  // Its holder is asked to stop.
  void MarkStopping(const RunningJob& holder);
  bool IsStopping(const RunningJob& holder) const { return stopping_.contains(&holder); }

  // Changes whenever sentences about the devices may change.
  int version() const { return version_; }
  // "GPU 0,2, held by jobs/abc (train); GPU 1, which …": devices with the same cause together.
  static std::string WhyEach(const std::vector<const Slot*>& slots);
  // "GPU 0,2" or "CPU slot 1": the indices of one kind.
  static std::string Words(std::vector<const Slot*> slots);

 private:
  // When the job can have it, or its share of it.
  Seconds AvailableTo(const Slot& slot, const WaitingJob& job) const;

  const Seconds now_;
  std::vector<Slot> slots_;
  std::map<std::string, Slot*> by_uuid_;
  std::set<const RunningJob*> stopping_;
  int version_ = 0;
};

}  // namespace yoke::scheduler
