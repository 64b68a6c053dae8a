// CPU time that threads spend on one thing, added up.
#pragma once

#include <time.h>

#include <atomic>
#include <cstdint>

namespace yoke::engine {

// Thread-safe.
class CpuClock {
 public:
  // Counts the calling thread's time while it lives.
  class Running {
   public:
    explicit Running(CpuClock& clock) : clock_(clock), begin_(Now()) {}
    ~Running() { clock_.nanoseconds_.fetch_add(Now() - begin_, std::memory_order_relaxed); }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    static int64_t Now() {
      timespec now;
      ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
      return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
    }
    CpuClock& clock_;
    const int64_t begin_;
  };

  double seconds() const {
    return 1e-9 * static_cast<double>(nanoseconds_.load(std::memory_order_relaxed));
  }

 private:
  std::atomic<int64_t> nanoseconds_{0};
};

}  // namespace yoke::engine
