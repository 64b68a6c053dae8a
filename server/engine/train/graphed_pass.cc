#include "server/engine/train/graphed_pass.h"

#include <algorithm>
#include <bit>

namespace yoke::engine {
namespace {

// Rows of zeros are no boxes.
Targets Padded(const Targets& targets) {
  const int64_t most = targets.class_BM.size(1);
  const auto wanted = static_cast<int64_t>(
      std::bit_ceil(static_cast<uint64_t>(std::max(most, GraphedPass::kBoxesLeast))));
  return {at::constant_pad_nd(targets.class_BM, {0, wanted - most}),
          at::constant_pad_nd(targets.boxes_xywh_BM4, {0, 0, 0, wanted - most})};
}

}  // namespace

bool GraphedPass::Record(const at::Tensor& images_BCHW, const Targets& targets, Recorded& one) {
  try {
    one.images_BCHW = images_BCHW.clone();
    one.targets = {targets.class_BM.clone(), targets.boxes_xywh_BM4.clone()};
    std::unique_ptr<StepGraph> graph = make_graph_();
    graph->Record([&] { one.items_3 = pass_(one.images_BCHW, one.targets); });
    one.graph = std::move(graph);
    return true;
  } catch (const std::exception& error) {
    failure_ = error.what();
    failure_ = failure_.substr(0, failure_.find('\n'));
    by_shape_.clear();
    return false;
  }
}

at::Tensor GraphedPass::Run(const at::Tensor& images_BCHW, const Targets& targets) {
  if (!failure_.empty()) return pass_(images_BCHW, targets);
  const Targets padded = Padded(targets);
  std::vector<int64_t> shape = images_BCHW.sizes().vec();
  shape.push_back(padded.class_BM.size(1));
  if (!by_shape_.contains(shape) && by_shape_.size() >= kGraphsMax) {
    return pass_(images_BCHW, targets);
  }
  Recorded& one = by_shape_[shape];
  if (one.graph == nullptr) {
    if (++one.passes <= kWarmUps || !Record(images_BCHW, padded, one)) {
      return pass_(images_BCHW, padded);
    }
  } else {
    one.images_BCHW.copy_(images_BCHW);
    one.targets.class_BM.copy_(padded.class_BM);
    one.targets.boxes_xywh_BM4.copy_(padded.boxes_xywh_BM4);
  }
  one.graph->Replay();
  return one.items_3.clone();
}

}  // namespace yoke::engine
