// A file that is either there whole or not at all: written beside its place, synced, renamed,
// folder synced.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace yoke::engine {

// One writer per path: what a killed writer left beside it is overwritten by the next.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();  // removes what was not committed
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Errors are kept: later calls do nothing and Commit() returns the first one.
  void Write(const void* data, size_t size);
  // ResourceExhausted: no space left. PermissionDenied, NotFound, Internal: the reason, with the
  // path.
  absl::Status Commit();

 private:
  void Fail(const char* action);

  std::string path_, temporary_;
  int fd_ = -1;
  absl::Status status_;
};

}  // namespace yoke::engine
