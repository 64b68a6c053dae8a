// Room kept on the disk of the state folder, so that jobs can still end, and be cancelled, when
// there is no other left.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "common/base/mutex.h"

namespace yoke::store {

inline constexpr int64_t kReserveBytes = int64_t{8} << 20;

// Thread-safe.
class Reserve {
 public:
  // Of at most a twentieth of its disk. Made at once if there is room.
  explicit Reserve(std::string path, int64_t bytes = kReserveBytes);

  // OK while the room is kept. If it was given away, tries to keep it again, at most once a second;
  // ResourceExhausted: new work must wait until the disk has space.
  absl::Status Check();
  // Gives the room away. False if there was none.
  bool Release();

 private:
  bool Fill() YOKE_REQUIRES(mutex_);

  const std::string path_;
  const int64_t bytes_;
  std::atomic<bool> held_ = false;
  Mutex mutex_;
  int64_t next_try_ms_ YOKE_GUARDED_BY(mutex_) = 0;
};

}  // namespace yoke::store
