#include "server/engine/data/epoch_order.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace yoke::engine {
namespace {

// Draws that belong to an epoch, not to a position in it.
constexpr uint64_t kPermutation = ~uint64_t{0};

constexpr int64_t kRecentMax = 1000;

std::vector<int64_t> Permutation(int64_t count, uint64_t seed, int epoch) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  Random random(seed, static_cast<uint64_t>(epoch), kPermutation);
  for (size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[static_cast<size_t>(random.Below(static_cast<int64_t>(i)))]);
  }
  return order;
}

}  // namespace

int64_t RecentWindow(int64_t images, int64_t batch) {
  return std::max<int64_t>(std::min({images, 8 * batch, kRecentMax}) - 1, 1);
}

EpochOrder::EpochOrder(int64_t count, uint64_t seed, int epoch)
    : order_(Permutation(count, seed, epoch)) {
  if (epoch == 0) return;
  before_ = Permutation(count, seed, epoch - 1);
  before_.erase(before_.begin(), before_.end() - std::min(count, kRecentMax));
}

EpochOrder::EpochOrder(std::vector<int64_t> fixed) : order_(std::move(fixed)) {}

int64_t EpochOrder::DrawRecent(int64_t position, int64_t window, Random& random) const {
  const int64_t used = position + 1 + static_cast<int64_t>(before_.size());
  const int64_t back = random.Below(std::clamp<int64_t>(window, 1, used));
  if (back <= position) return At(position - back);
  return before_[before_.size() - static_cast<size_t>(back - position)];
}

}  // namespace yoke::engine
