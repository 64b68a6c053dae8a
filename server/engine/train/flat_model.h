// The floating entries of a model in one piece of memory: trained parameters by group of the
// optimiser, then frozen ones, then buffers. Optimiser, averaging, clipping and the exchange
// between ranks are then a few long operations instead of hundreds of short ones. Parameters and
// buffers stay what they are for everyone else: views of it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "server/engine/model/detection_model.h"

namespace yoke::engine {

struct FlatEntry {
  std::string name;
  at::Tensor tensor;   // the parameter or buffer
  int64_t offset = 0;  // of its first value
};

class FlatModel {
 public:
  // The group of a trained parameter, in [0, group_count).
  using GroupOf = std::function<int(const std::string& name, const at::Tensor& parameter)>;

  // Moves `model`'s entries. Within a group the last layers come first: their gradients are ready
  // first. The model's parameters and buffers must be moved no more (to a device or a type). A
  // parameter's gradient is from now on a view too: it is cleared by ZeroGradients only.
  FlatModel(DetectionModel& model, int group_count, const GroupOf& group_of);

  // Moves the entries of another model of the same names and shapes to the same places.
  at::Tensor Follow(DetectionModel& model) const;

  const at::Tensor& values() const { return values_; }        // (all) float32
  const at::Tensor& gradients() const { return gradients_; }  // (trained) float32
  at::Tensor group_values(int group) const { return Part(values_, group); }
  at::Tensor group_gradients(int group) const { return Part(gradients_, group); }
  // By offset.
  const std::vector<FlatEntry>& trained() const { return trained_; }
  // Of one group.
  std::vector<FlatEntry> members(int group) const;
  // Running statistics of all BatchNorms.
  at::Tensor buffers() const;
  void ZeroGradients() { gradients_.zero_(); }

 private:
  at::Tensor Part(const at::Tensor& whole, int group) const {
    const auto g = static_cast<size_t>(group);
    return whole.narrow(0, begin_[g], begin_[g + 1] - begin_[g]);
  }

  std::vector<FlatEntry> trained_, rest_, buffers_;
  std::vector<int64_t> begin_;  // of each group, and the end of the last
  int64_t buffers_begin_ = 0;
  at::Tensor values_, gradients_;
};

}  // namespace yoke::engine
