// kill(2) that reaches one process. A test that did not find its victim has 0 or -1 in hand, and
// kill would take that for its own group or for every process of the machine.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <string>

#include "common/base/check.h"

namespace yoke {

inline void SignalOne(pid_t pid, int signal) {
  YOKE_CHECK_MSG(pid > 1, "no process to signal: " + std::to_string(pid));
  kill(pid, signal);
}

}  // namespace yoke
