// A write lock on a whole file that belongs to the open file description: it ends when the last
// descriptor of it is closed, so with the process, and asking who holds it never takes it.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/unique_fd.h"

namespace yoke::os {

class OfdLock {
 public:
  // Creates the file if needed and locks it without waiting. FailedPrecondition if another description
  // holds the lock. The descriptor is close-on-exec, so children do not keep the lock alive.
  static absl::StatusOr<OfdLock> Take(const std::string& path);

  // Whether anybody holds the lock on the file, the caller's own locks included. False if there is no
  // such file.
  static absl::StatusOr<bool> IsHeld(const std::string& path);

  // The locked file, for what its owner wants to leave there.
  int fd() const { return fd_.get(); }

 private:
  explicit OfdLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace yoke::os
