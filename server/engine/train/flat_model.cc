#include "server/engine/train/flat_model.h"

#include <algorithm>
#include <map>

#include "ATen/core/grad_mode.h"
#include "common/base/check.h"

namespace yoke::engine {
namespace {

// Every entry begins at a whole cache line.
constexpr int64_t kAlignedValues = 16;

int64_t Aligned(int64_t size) {
  return (size + kAlignedValues - 1) / kAlignedValues * kAlignedValues;
}

void Place(std::vector<FlatEntry>& entries, int64_t& offset) {
  for (FlatEntry& entry : entries) {
    entry.offset = offset;
    offset += Aligned(entry.tensor.numel());
  }
}

void Move(at::Tensor tensor, const at::Tensor& flat, int64_t offset) {
  const at::NoGradGuard no_gradients;
  at::Tensor view = flat.narrow(0, offset, tensor.numel()).view(tensor.sizes());
  view.copy_(tensor);
  tensor.set_data(view);
}

}  // namespace

FlatModel::FlatModel(DetectionModel& model, int group_count, const GroupOf& group_of) {
  std::vector<std::vector<FlatEntry>> groups(static_cast<size_t>(group_count));
  for (const auto& item : model.named_parameters()) {
    const FlatEntry entry{item.key(), item.value()};
    if (!entry.tensor.requires_grad()) {
      rest_.push_back(entry);
    } else {
      groups[static_cast<size_t>(group_of(entry.name, entry.tensor))].push_back(entry);
    }
  }
  for (const auto& item : model.named_buffers()) {
    if (item.value().is_floating_point()) buffers_.push_back({item.key(), item.value()});
  }
  int64_t size = 0;
  for (std::vector<FlatEntry>& group : groups) {
    begin_.push_back(size);
    std::reverse(group.begin(), group.end());
    Place(group, size);
    trained_.insert(trained_.end(), group.begin(), group.end());
  }
  begin_.push_back(size);
  Place(rest_, size);
  buffers_begin_ = size;
  Place(buffers_, size);

  const at::TensorOptions options =
      model.parameters().front().options().dtype(at::kFloat).requires_grad(false);
  values_ = at::zeros({size}, options);
  gradients_ = at::zeros({begin_.back()}, options);
  for (const auto* entries : {&trained_, &rest_, &buffers_}) {
    for (const FlatEntry& entry : *entries) Move(entry.tensor, values_, entry.offset);
  }
  for (FlatEntry& entry : trained_) {
    entry.tensor.mutable_grad() =
        gradients_.narrow(0, entry.offset, entry.tensor.numel()).view(entry.tensor.sizes());
  }
}

at::Tensor FlatModel::Follow(DetectionModel& model) const {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& item : model.named_parameters()) tensors[item.key()] = item.value();
  for (const auto& item : model.named_buffers()) tensors[item.key()] = item.value();
  at::Tensor flat = at::zeros_like(values_);
  for (const auto* entries : {&trained_, &rest_, &buffers_}) {
    for (const FlatEntry& entry : *entries) {
      const auto found = tensors.find(entry.name);
      YOKE_CHECK_MSG(found != tensors.end() && found->second.sizes() == entry.tensor.sizes(),
                     entry.name);
      Move(found->second, flat, entry.offset);
    }
  }
  return flat;
}

std::vector<FlatEntry> FlatModel::members(int group) const {
  std::vector<FlatEntry> found;
  const auto g = static_cast<size_t>(group);
  for (const FlatEntry& entry : trained_) {
    if (entry.offset >= begin_[g] && entry.offset < begin_[g + 1]) found.push_back(entry);
  }
  return found;
}

at::Tensor FlatModel::buffers() const {
  return values_.narrow(0, buffers_begin_, values_.size(0) - buffers_begin_);
}

}  // namespace yoke::engine
