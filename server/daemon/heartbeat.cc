#include "server/daemon/heartbeat.h"

#include <unistd.h>

#include <chrono>
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
  if (limit) thread_ = std::thread([this, interval = *limit / 3] { Loop(interval); });
}

Heartbeat::~Heartbeat() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stopped_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Heartbeat::Loop(absl::Duration interval) {
  for (;;) {
    if (const std::string problem = problem_(); problem.empty()) {
      NotifyServiceManager("WATCHDOG=1");
    } else {
      spdlog::error("no sign of life for the service manager: {}", problem);
      NotifyServiceManager(absl::StrCat("STATUS=", problem));
    }
    const auto next = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(interval);
    MutexLock lock(mutex_);
    while (!stopping_) {
      if (!stopped_.WaitUntil(mutex_, next)) break;
    }
    if (stopping_) return;
  }
}

}  // namespace yoke::daemon
