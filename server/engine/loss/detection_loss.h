// The YOLOv8 criterion: task-aligned assignment, then CIoU, DFL and BCE.
// Formulas: TOOD (arXiv 2108.07755) for the assigner, Distance-IoU (1911.08287) for CIoU,
// Generalized Focal Loss (2006.04388) for DFL; constants are the YOLOv8 reference's.
// Shapes: B batch, A anchor points, K classes, R bins, N ground-truth boxes of the whole batch.
#pragma once

#include <vector>

#include "ATen/ATen.h"

namespace yoke::engine {

struct LossConfig {
  int class_count = 80;
  double box_gain = 7.5, cls_gain = 0.5, dfl_gain = 1.5;
  int topk = 10;
  double alpha = 0.5, beta = 6.0;
  double tal_floor = 0;  // px that a side counts as at least in the inside test
};

// Ground truth of a batch, on the maps' device.
struct Targets {
  at::Tensor image_index_N;  // int64, ascending
  at::Tensor class_N;        // int64
  at::Tensor boxes_xywh_N4;  // float32, norm (fractions of the network's input)
};

struct LossOutput {
  at::Tensor total;    // scalar with gradient: (box + cls + dfl) * images of this rank
  at::Tensor items_3;  // detached float32: box, cls, dfl after gains, not times batch
};

struct Assignment {              // what the assigner decided; returned for tests
  at::Tensor foreground_BA;      // bool
  at::Tensor target_boxes_BA4;   // xyxy, input px
  at::Tensor target_scores_BAK;  // float32
  at::Tensor target_gt_BA;       // int64, index into the image's padded ground truths
};

// Every parameter that made `maps` always receives a gradient, with and without objects.
class DetectionLoss {
 public:
  explicit DetectionLoss(const LossConfig& config);
  // maps: three (B, 4*R + K, H, W), strides 8, 16, 32, any floating dtype; computed in float32.
  LossOutput Compute(const std::vector<at::Tensor>& maps, const Targets& targets) const;
  // The assigner alone, on the same inputs.
  Assignment Assign(const std::vector<at::Tensor>& maps, const Targets& targets) const;

 private:
  LossConfig config_;
};

}  // namespace yoke::engine
