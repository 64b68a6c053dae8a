// Tells the service manager that the daemon gets on, for as long as it does: a daemon that is stuck
// is then restarted, which no job notices.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/daemon/repeater.h"

namespace yoke::daemon {

// How long the service manager waits for a sign of life before it kills ($WATCHDOG_USEC, meant for
// $WATCHDOG_PID). Nothing if it does not.
std::optional<absl::Duration> WatchdogLimit(
    const std::function<std::optional<std::string>(const std::string&)>& environment);

class Heartbeat {
 public:
  // Three signs within each `limit`, none without one. `problem`: what does not get on, as a
  // sentence; empty while all does. It is asked from a thread of the heartbeat and must go through
  // what it vouches for; hanging is an answer, too.
  Heartbeat(std::optional<absl::Duration> limit, std::function<std::string()> problem);

 private:
  void Beat();

  const std::function<std::string()> problem_;
  std::unique_ptr<Repeater> repeater_;  // its end waits for a `problem` that is being asked
};

}  // namespace yoke::daemon
