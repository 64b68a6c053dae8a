// The task-aligned assigner (TOOD, arXiv 2108.07755): which anchor points answer for which ground
// truth, and how strongly. Shapes: B batch, A anchor points, K classes, M ground truths of the
// fullest image.
#pragma once

#include "ATen/ATen.h"
#include "server/engine/loss/detection_loss.h"

namespace yoke::engine {

// Ground truths as a rectangle: rows of one image in their order, padded with zeros.
struct PaddedTargets {
  at::Tensor class_BM;           // int64
  at::Tensor boxes_xyxy_px_BM4;  // float32
  at::Tensor valid_BM;           // bool
};
PaddedTargets PadTargets(const Targets& targets, int64_t batch, int64_t width_px,
                         int64_t height_px);

// logits_BAK: before the sigmoid; boxes: decoded, xyxy in input px; points_A2: x, y in input px.
Assignment AssignTargets(const LossConfig& config, const at::Tensor& logits_BAK,
                         const at::Tensor& boxes_xyxy_px_BA4, const at::Tensor& points_px_A2,
                         const PaddedTargets& targets);

}  // namespace yoke::engine
