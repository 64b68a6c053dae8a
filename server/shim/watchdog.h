// When a gang hangs, and on which of its members: pure, from what is seen of them once a tick.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ipc/progress.h"

namespace yoke::shim {

// One running member as it is seen now.
struct Sight {
  int rank = 0;  // -1: prepare
  ipc::Progress progress;
  char state = '?';    // of its main thread, as /proc says it
  int64_t cpu_ms = 0;  // of all its threads so far
};

struct Hang {
  int rank = 0;
  std::string message;  // sentence
};

// How long a member may be silent, as multiples of the limit of a training step: what a step is
// made of is known, what a scan, a save or a first step takes depends on disks and on libraries
// that tune themselves.
double PatienceOf(const Sight& sight);

// Counts only time in which it looked itself: a supervisor that was stopped, or a machine that
// slept, suspects nobody.
class Watchdog {
 public:
  // `limit_ms`: of a training step. `cpu_counts`: computing is a sign of life too, up to
  // kBusyPatience limits. Ranks that wait for each other over gloo sleep; over NCCL they spin, and
  // then it tells nothing.
  Watchdog(int64_t limit_ms, bool cpu_counts) : limit_ms_(limit_ms), cpu_counts_(cpu_counts) {}

  // `sights`: the members that still run. A hang once one of them has been silent for longer than
  // its patience, or stopped for longer than the limit; named is the one that holds up the others:
  // one that is stopped, else the lowest step, else one in uninterruptible sleep, else the oldest
  // report.
  std::optional<Hang> Look(int64_t now_ms, const std::vector<Sight>& sights);

  // Between looks at most.
  int64_t tick_ms() const;

 private:
  struct Memory {
    int rank = 0;
    int64_t reports = -1, cpu_ms = 0;
    int64_t silent_ms = 0, idle_ms = 0, stopped_ms = 0;
  };
  Memory& Remember(int rank);
  bool Overdue(const Sight& sight, const Memory& memory) const;

  const int64_t limit_ms_;
  const bool cpu_counts_;
  int64_t looked_ms_ = -1;
  std::vector<Memory> memories_;
};

}  // namespace yoke::shim
