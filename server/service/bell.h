// How a thread that serves a stream sleeps until there may be something to say.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "common/base/mutex.h"

namespace yoke::service {

// Thread-safe. Rings that come while nobody waits are not lost: a waiter says up to which one it
// has listened.
class Bell {
 public:
  void Ring();
  // Number of rings so far. Read it before looking at what the bell is about.
  int64_t rings() const;
  // Returns once it rang more often than `heard`, or after `limit`.
  void Wait(int64_t heard, absl::Duration limit);

 private:
  mutable Mutex mutex_;
  CondVar rang_;
  int64_t rings_ YOKE_GUARDED_BY(mutex_) = 0;
};

}  // namespace yoke::service
