// The YOLOv8 network as an ONNX graph. Shapes: B batch, H/W input pixels, A anchor points (all
// levels, P3 first, rows first), K classes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "server/engine/export/onnx_proto.h"

namespace yoke::engine {

// Suppression inside the graph.
struct SuppressionOptions {
  float conf = 0.25f, iou = 0.7f;
  int64_t max_det = 300;
  bool agnostic = false;
};

struct GraphOptions {
  int opset = 17;
  int64_t class_count = 80;
  int64_t batch = 1, height = 640, width = 640;  // multiples of 32; unused if dynamic
  bool dynamic = false;  // batch, height and width are given with the images
  std::optional<SuppressionOptions> suppression;
};

// "model.0.conv.weight" -> tensor, of the folded network: every convolution has a bias.
using FoldedWeights = std::map<std::string, onnx::Tensor>;

// images (B, 3, H, W), RGB in [0, 1] -> output0, as DetectionModel::Predict gives it:
// (B, 4 + K, A), rows cx, cy, w, h in input pixels, then scores. With suppression (B, max_det, 6),
// rows x1, y1, x2, y2 in input pixels, confidence, class, by descending confidence, padded with
// zeros; the same detections as NonMaxSuppression's, but without its limit on candidates.
// REQUIRES: the weights are complete, the options in range.
onnx::Graph Yolov8Graph(const FoldedWeights& weights, const GraphOptions& options);

}  // namespace yoke::engine
