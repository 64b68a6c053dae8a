// The places the daemon serves on.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace yoke::daemon {

// Makes the socket's folder if needed (0700) and removes what a dead daemon left there.
// FailedPrecondition: somebody answers there, or it is no socket. InvalidArgument: the path is too long.
absl::Status PrepareSocket(const std::string& path);

// InvalidArgument unless it is HOST:PORT with a host of this machine only (127.*, [::1], localhost).
absl::Status CheckLoopback(const std::string& address);

// Tells the service manager, if there is one ($NOTIFY_SOCKET): "READY=1".
void NotifyServiceManager(const std::string& message);

}  // namespace yoke::daemon
