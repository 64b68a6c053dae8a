#include "server/engine/label/shape_batches.h"

#include <algorithm>

namespace yoke::engine {
namespace {

// How many batches' worth of images may wait for others of their shape: a limit on memory.
constexpr size_t kWaitingBatchesMax = 4;

}  // namespace

std::vector<LabelInput> ShapeBatches::Add(LabelInput input) {
  std::vector<LabelInput>& same = by_shape_[{input.fit.input.height, input.fit.input.width}];
  same.push_back(std::move(input));
  ++waiting_;
  if (same.size() < batch_ && waiting_ < kWaitingBatchesMax * batch_) return {};
  return TakeLargest();
}

std::vector<LabelInput> ShapeBatches::TakeLargest() {
  if (by_shape_.empty()) return {};
  const auto largest = std::max_element(
      by_shape_.begin(), by_shape_.end(),
      [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  std::vector<LabelInput> batch = std::move(largest->second);
  by_shape_.erase(largest);
  waiting_ -= batch.size();
  return batch;
}

}  // namespace yoke::engine
