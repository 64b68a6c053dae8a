// Which image stands at which position of an epoch, and which were used just before.
#pragma once

#include <cstdint>
#include <vector>

#include "server/engine/data/random.h"

namespace yoke::engine {

// How many of the images used last a mosaic draws from, as the reference limits it. `batch`: over
// all ranks.
int64_t RecentWindow(int64_t images, int64_t batch);

// Positions count over all ranks. They depend on the seed and the epoch only.
class EpochOrder {
 public:
  // A permutation of `count` images. REQUIRES: count > 0.
  EpochOrder(int64_t count, uint64_t seed, int epoch);
  // An order that is the same in every epoch. REQUIRES: not empty.
  explicit EpochOrder(std::vector<int64_t> fixed);

  int64_t count() const { return static_cast<int64_t>(order_.size()); }
  // Positions past the end repeat the first images.
  int64_t At(int64_t position) const { return order_[static_cast<size_t>(position % count())]; }
  // One of the `window` images used last, that at `position` being the latest; they reach into the
  // epoch before. In the first epoch of a training there are fewer at first. REQUIRES: a window
  // that RecentWindow returns.
  int64_t DrawRecent(int64_t position, int64_t window, Random& random) const;

 private:
  std::vector<int64_t> order_;
  std::vector<int64_t> before_;  // the last of the epoch before; empty in the first
};

}  // namespace yoke::engine
