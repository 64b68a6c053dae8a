// A std::mutex that clang's thread-safety analysis understands, and the annotations for what it guards.
// Not absl::Mutex: Debian's build of abseil is not instrumented, so ThreadSanitizer reports false races.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define YOKE_TSA(x) __attribute__((x))
#else
#define YOKE_TSA(x)
#endif
#define YOKE_GUARDED_BY(x) YOKE_TSA(guarded_by(x))
#define YOKE_REQUIRES(...) YOKE_TSA(requires_capability(__VA_ARGS__))
#define YOKE_EXCLUDES(...) YOKE_TSA(locks_excluded(__VA_ARGS__))

namespace yoke {

class YOKE_TSA(capability("mutex")) Mutex {
 public:
  void Lock() YOKE_TSA(acquire_capability()) { mutex_.lock(); }
  void Unlock() YOKE_TSA(release_capability()) { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class YOKE_TSA(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) YOKE_TSA(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() YOKE_TSA(release_capability()) { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits re-check their predicate in the caller's own loop, where the analysis can see the guarded members.
class CondVar {
 public:
  void Wait(Mutex& mutex) YOKE_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  // Returns false if `deadline` passed first.
  bool WaitUntil(Mutex& mutex, std::chrono::steady_clock::time_point deadline) YOKE_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool in_time = cv_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace yoke
