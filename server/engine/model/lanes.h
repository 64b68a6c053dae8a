// Cores that work on separate images side by side. Several threads inside one operation of a small
// network gain little, and spin while they wait for each other: on cores shared with others that
// stops everything.
#pragma once

#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

namespace yoke::engine {

class Lanes {
 public:
  // As many lanes as the caller's LibTorch has threads, at most `count_max`; each gets an equal
  // share of them.
  explicit Lanes(size_t count_max);
  ~Lanes();

  // work(i) for each i in [0, count), in any order, on the lanes; returns when all is done. `work`
  // does not throw. Called by one thread.
  void ForEach(size_t count, const std::function<void(size_t)>& work);

 private:
  void Run(int threads);

  const int threads_;  // of the caller
  Mutex mutex_;
  CondVar begin_, done_;
  const std::function<void(size_t)>* work_ YOKE_GUARDED_BY(mutex_) = nullptr;
  size_t next_ YOKE_GUARDED_BY(mutex_) = 0;
  size_t count_ YOKE_GUARDED_BY(mutex_) = 0;
  size_t running_ YOKE_GUARDED_BY(mutex_) = 0;
  bool stop_ YOKE_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> lanes_;
};

}  // namespace yoke::engine
