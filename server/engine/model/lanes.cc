#include "server/engine/model/lanes.h"

#include <algorithm>

#include "ATen/Parallel.h"

namespace yoke::engine {

Lanes::Lanes(size_t count_max) : threads_(at::get_num_threads()) {
  const size_t count =
      std::clamp<size_t>(static_cast<size_t>(threads_), 1, std::max<size_t>(count_max, 1));
  const int each = std::max(threads_ / static_cast<int>(count), 1);
  for (size_t i = 0; i < count; ++i) lanes_.emplace_back([this, each] { Run(each); });
}

Lanes::~Lanes() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    begin_.NotifyAll();
  }
  for (std::thread& lane : lanes_) lane.join();
  at::set_num_threads(threads_);  // the lanes' number is also what new threads would get
}

void Lanes::ForEach(size_t count, const std::function<void(size_t)>& work) {
  MutexLock lock(mutex_);
  work_ = &work;
  next_ = 0;
  count_ = count;
  begin_.NotifyAll();
  while (next_ < count_ || running_ > 0) done_.Wait(mutex_);
  work_ = nullptr;
}

void Lanes::Run(int threads) {
  at::set_num_threads(threads);
  MutexLock lock(mutex_);
  while (true) {
    while (!stop_ && next_ >= count_) begin_.Wait(mutex_);
    if (stop_) return;
    const std::function<void(size_t)>& work = *work_;
    const size_t index = next_++;
    ++running_;
    mutex_.Unlock();
    work(index);
    mutex_.Lock();
    if (--running_ == 0) done_.NotifyAll();
  }
}

}  // namespace yoke::engine
