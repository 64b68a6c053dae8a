// Waiting in tests for what happens in another process.
#pragma once

#include <unistd.h>

#include "common/os/clock.h"

namespace yoke {

// Asks `condition` every 5 ms. True once it holds, false after `seconds`.
template <typename Condition>
bool Until(double seconds, Condition condition) {
  const int64_t deadline = os::BootMilliseconds() + static_cast<int64_t>(seconds * 1000);
  while (!condition()) {
    if (os::BootMilliseconds() >= deadline) return false;
    usleep(5000);
  }
  return true;
}

}  // namespace yoke
