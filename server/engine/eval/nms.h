// Non-maximum suppression on raw predictions.
#pragma once

#include <vector>

#include "ATen/ATen.h"
#include "server/engine/eval/detection.h"
#include "server/engine/model/head_maps.h"

namespace yoke::engine {

struct NmsOptions {
  double conf = 0.25, iou = 0.7;
  int max_det = 300;
  bool multi_label =
      false;  // one row per (anchor, class); used in validation when there are classes > 1
  bool agnostic = false;
  std::vector<int> classes;  // keep only these; empty: all
};

// predictions (B, 4 + K, A) as DetectionModel::Predict returns them. One list per image, by
// descending confidence. Never gives up on time; at most 30,000 candidates per image enter (the
// most confident).
std::vector<std::vector<Detection>> NonMaxSuppression(const at::Tensor& predictions,
                                                      const NmsOptions& options);

// The same for one image of a head's maps, in float32 on a CPU, pixels of channels: only points
// that pass options.conf are decoded.
std::vector<Detection> NonMaxSuppression(const HeadMaps& maps, int64_t image,
                                         const NmsOptions& options);

}  // namespace yoke::engine
