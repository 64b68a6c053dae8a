#include "server/daemon/heartbeat.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/daemon/socket.h"
#include "spdlog/spdlog.h"

namespace yoke::daemon {

std::optional<absl::Duration> WatchdogLimit(
    const std::function<std::optional<std::string>(const std::string&)>& environment) {
  int64_t microseconds = 0, pid = getpid();
  const std::optional<std::string> limit = environment("WATCHDOG_USEC"),
                                   whom = environment("WATCHDOG_PID");
  if (!limit || !absl::SimpleAtoi(*limit, &microseconds) || microseconds <= 0) return std::nullopt;
  if (whom && (!absl::SimpleAtoi(*whom, &pid) || pid != getpid())) return std::nullopt;
  return absl::Microseconds(microseconds);
}

Heartbeat::Heartbeat(std::optional<absl::Duration> limit, std::function<std::string()> problem)
    : problem_(std::move(problem)) {
  if (!limit) return;
  repeater_ = std::make_unique<Repeater>(absl::ZeroDuration(), *limit / 3, [this] { Beat(); });
}

void Heartbeat::Beat() {
  const std::string problem = problem_();
  if (problem.empty()) return NotifyServiceManager("WATCHDOG=1");
  spdlog::error("no sign of life for the service manager: {}", problem);
  NotifyServiceManager(absl::StrCat("STATUS=", problem));
}

}  // namespace yoke::daemon
