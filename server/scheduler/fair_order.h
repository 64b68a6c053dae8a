// The order in which waiting jobs are looked at: priority, fair share between owners, submission.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "server/scheduler/plan.h"

namespace yoke::scheduler {

// What is left of a use at `now`.
double Decayed(const Use& use, Seconds now, Seconds half_life);
// Device-seconds by owner at snapshot.now: ended attempts, decayed, and those that run.
std::map<std::string, double> UseByOwner(const Snapshot& snapshot);

// Hands out the jobs of a snapshot, which must outlive it, one after the other.
class FairOrder {
 public:
  explicit FairOrder(const Snapshot& snapshot);

  // The next job, or for a repeat the one that it is like; null at the end.
  const WaitingJob* Next();
  // Whether the job handed out last was a repeat.
  bool repeated() const { return repeated_; }
  // The job handed out last will use so much: its owner's next one comes the later for it.
  void Charge(double device_seconds);

 private:
  struct Entry {
    const WaitingJob* job;
    int64_t sequence;
    bool repeat;
  };
  struct Owner {
    double use = 0;
    std::vector<Entry> jobs;  // of the priority at hand, the last submitted first
  };
  struct Turn {
    double use;
    Entry job;
    Owner* owner;
    bool operator<(const Turn& other) const;
  };

  static bool SubmittedBefore(const Entry& a, const Entry& b);
  void FillPriority();
  void Enqueue(Owner& owner);

  std::vector<Entry> jobs_;  // by priority, then sequence
  size_t taken_ = 0;         // of jobs_, by FillPriority
  std::map<std::string, Owner> owners_;
  std::set<Turn> turns_;
  Owner* last_ = nullptr;
  bool repeated_ = false;
};

}  // namespace yoke::scheduler
