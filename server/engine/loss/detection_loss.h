// The YOLOv8 criterion: task-aligned assignment, then CIoU, DFL and BCE.
// Formulas: TOOD (arXiv 2108.07755) for the assigner, Distance-IoU (1911.08287) for CIoU,
// Generalized Focal Loss (2006.04388) for DFL; constants are the YOLOv8 reference's.
// Shapes: B batch, K classes, M ground truths of the fullest image, N of the whole batch.
#pragma once

#include "ATen/ATen.h"
#include "server/engine/model/head_maps.h"

namespace yoke::engine {

struct LossConfig {
  int class_count = 80;
  double box_gain = 7.5, cls_gain = 0.5, dfl_gain = 1.5;
  double tal_floor = 0;       // px that a side counts as at least in the inside test
  at::Tensor class_weight_K;  // of the class loss, float32 on the maps' device; undefined: all 1
};

// Ground truth of a batch as a rectangle: rows of one image in their order, padded with zeros.
struct Targets {
  at::Tensor class_BM;        // int64
  at::Tensor boxes_xywh_BM4;  // float32, norm (fractions of the network's input)
};

// Rows of a whole batch as Targets, on the CPU. image_index_N: int64, ascending, below `batch`.
Targets PadTargets(const at::Tensor& image_index_N, const at::Tensor& class_N,
                   const at::Tensor& boxes_xywh_N4, int64_t batch);

struct LossOutput {
  at::Tensor total;    // scalar with gradient: (box + cls + dfl) * images of this rank
  at::Tensor items_3;  // detached float32: box, cls, dfl after gains, not times batch
};

// Every parameter that made `maps` always receives a gradient, with and without objects.
// On CPUs by cpu_loss.h, elsewhere by tensor_loss.h, which never waits for the device.
class DetectionLoss {
 public:
  explicit DetectionLoss(LossConfig config);
  // `maps`: of any floating dtype; computed in float32. `targets` on the maps' device.
  LossOutput Compute(const HeadMaps& maps, const Targets& targets) const;

 private:
  LossConfig config_;
};

}  // namespace yoke::engine
