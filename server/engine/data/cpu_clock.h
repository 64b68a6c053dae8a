// CPU time that threads spend on one thing, added up; and how long the process is there.
#pragma once

#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

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

// Seconds since this process was started, to the kernel's hundredth; 0 where it does not say.
inline double ProcessAgeSeconds() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream rest(text.substr(name_end + 1));
  std::string word;
  constexpr int kStartTime = 22 - 2;  // field of proc(5), of which two are over
  for (int field = 0; field < kStartTime; ++field) rest >> word;
  timespec now;
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) -
         std::strtod(word.c_str(), nullptr) / ticks;
}

}  // namespace yoke::engine
