#pragma once

#include "opencv2/core/utility.hpp"

namespace yoke::engine {

// From now on OpenCV works on the calling thread alone: its callers are many threads already. It
// changes its number without a lock (two at once crash in its thread pool), so a process does it
// once.
inline void UseOneOpenCvThread() {
  [[maybe_unused]] static const bool done = [] {
    cv::setNumThreads(1);
    return true;
  }();
}

}  // namespace yoke::engine
