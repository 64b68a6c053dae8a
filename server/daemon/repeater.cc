#include "server/daemon/repeater.h"

#include <chrono>
#include <utility>

namespace yoke::daemon {

Repeater::Repeater(absl::Duration first, absl::Duration every, std::function<void()> work)
    : work_(std::move(work)), thread_([this, first, every] { Loop(first, every); }) {}

Repeater::~Repeater() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stopped_.NotifyAll();
  }
  thread_.join();
}

void Repeater::Loop(absl::Duration first, absl::Duration every) {
  for (absl::Duration wait = first;; wait = every) {
    {
      MutexLock lock(mutex_);
      const auto due = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(wait);
      while (!stopping_ && stopped_.WaitUntil(mutex_, due)) {
      }
      if (stopping_) return;
    }
    work_();
  }
}

}  // namespace yoke::daemon
