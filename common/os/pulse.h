// Whether a thread that works and rests in turn gets on: since when it has been at work. Somebody
// else asks.
#pragma once

#include <atomic>
#include <cstdint>

#include "common/os/clock.h"

namespace yoke::os {

// Thread-safe.
class Pulse {
 public:
  void Work() { since_ms_.store(BootMilliseconds()); }
  void Rest() { since_ms_.store(kResting); }
  // For how long it has been at work without a rest; 0 while it rests.
  int64_t BusyMs() const {
    const int64_t since = since_ms_.load();
    return since == kResting ? 0 : BootMilliseconds() - since;
  }

 private:
  static constexpr int64_t kResting = -1;
  std::atomic<int64_t> since_ms_{kResting};
};

}  // namespace yoke::os
