// Work that is done again and again, on a thread of its own.
#pragma once

#include <functional>
#include <thread>

#include "absl/time/time.h"
#include "common/base/mutex.h"

namespace yoke::daemon {

class Repeater {
 public:
  // `work` for the first time after `first`, then `every` after each end.
  Repeater(absl::Duration first, absl::Duration every, std::function<void()> work);
  // Waits for work that is being done.
  ~Repeater();
  Repeater(const Repeater&) = delete;
  Repeater& operator=(const Repeater&) = delete;

 private:
  void Loop(absl::Duration first, absl::Duration every);

  const std::function<void()> work_;
  Mutex mutex_;
  CondVar stopped_;
  bool stopping_ YOKE_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace yoke::daemon
