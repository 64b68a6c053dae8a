#include "server/shim/stop.h"

#include <algorithm>

#include "common/ipc/attempt_files.h"
#include "common/os/clock.h"

namespace yoke::shim {

void Stop::Look(bool signalled) {
  const absl::StatusOr<nlohmann::json> json = ipc::ReadJsonFile(path_);
  if (json.ok()) {
    if (const auto request = ipc::StopRequestFromJson(*json); request.ok()) {
      return Request(request->reason, request->grace_seconds);
    }
  }
  if (signalled) Request("signal", default_grace_seconds_);
}

void Stop::Request(const std::string& reason, double grace_seconds) {
  // A day at most: whatever the file says, the sum below must not overflow.
  const double seconds = std::clamp(grace_seconds, 0.0, 86400.0);
  const int64_t deadline = os::BootMilliseconds() + static_cast<int64_t>(seconds * 1000);
  if (requested_ && deadline >= deadline_ms_) return;
  if (!requested_) reason_ = reason;
  requested_ = true;
  grace_seconds_ = seconds;
  deadline_ms_ = deadline;
}

}  // namespace yoke::shim
