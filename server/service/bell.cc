#include "server/service/bell.h"

#include <chrono>

namespace yoke::service {

void Bell::Ring() {
  MutexLock lock(mutex_);
  ++rings_;
  rang_.NotifyAll();
}

int64_t Bell::rings() const {
  MutexLock lock(mutex_);
  return rings_;
}

void Bell::Wait(int64_t heard, absl::Duration limit) {
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(limit);
  MutexLock lock(mutex_);
  while (rings_ <= heard && rang_.WaitUntil(mutex_, deadline)) {
  }
}

}  // namespace yoke::service
