// The shim's signals as something to poll.
#pragma once

#include "absl/status/statusor.h"
#include "common/os/unique_fd.h"

namespace yoke::shim {

class Signals {
 public:
  // Blocks SIGTERM, SIGINT and SIGCHLD, which from now on are read here, and ignores SIGHUP and SIGPIPE.
  static absl::StatusOr<Signals> Open();

  // Waits until a signal or the time-out. Returns whether a request to stop (SIGTERM, SIGINT) came.
  bool Wait(int timeout_ms);

 private:
  explicit Signals(os::UniqueFd fd) : fd_(std::move(fd)) {}
  os::UniqueFd fd_;
};

}  // namespace yoke::shim
