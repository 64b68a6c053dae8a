// The criterion in tensor operations, for devices: no step needs a number from the device, so a
// stream of kernels is never waited for. Dense over all pairs of ground truth and anchor point, in
// pieces of bounded size.
#pragma once

#include "server/engine/loss/detection_loss.h"

namespace yoke::engine {

// As DetectionLoss::Compute, on the device of `maps`.
LossOutput TensorLoss(const LossConfig& config, const HeadMaps& maps, const Targets& targets);

// What the assigner decides. Shapes: A anchor points of all levels, rows first.
struct Assignment {
  at::Tensor foreground_BA;      // bool
  at::Tensor target_boxes_BA4;   // xyxy, input px
  at::Tensor target_scores_BAK;  // float32
  at::Tensor target_gt_BA;       // int64, row of the image's ground truths
};

Assignment AssignTensors(const LossConfig& config, const HeadMaps& maps, const Targets& targets);

}  // namespace yoke::engine
