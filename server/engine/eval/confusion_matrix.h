// Which class was found where which one is.
#pragma once

#include <cstdint>
#include <vector>

namespace yoke::engine {

// Square of `classes` + 1 sides; the last row and column are the background: found where nothing is, and missed.
struct ConfusionMatrix {
  int classes = 0;
  std::vector<int64_t> counts;  // [predicted * (classes + 1) + true]

  int64_t at(int predicted, int truth) const {
    return counts[static_cast<size_t>(predicted) * (static_cast<size_t>(classes) + 1) +
                  static_cast<size_t>(truth)];
  }
};

}  // namespace yoke::engine
