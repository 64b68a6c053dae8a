// What follows the network's last convolutions: boxes from the distributions of their sides, and
// scores. Shapes as in yolov8_onnx.h.
#pragma once

#include <vector>

#include "server/engine/export/onnx_graph.h"
#include "server/engine/export/yolov8_onnx.h"

namespace yoke::engine {

struct HeadMaps {
  onnx::Value boxes;   // (B, 4 * 16, H / stride, W / stride): 16 bins for each side
  onnx::Value scores;  // (B, K, H / stride, W / stride), before the sigmoid
  int64_t stride = 8;
};

// Appends decoding and, if asked for, suppression; the result is the graph's output "output0".
void AppendDetections(const std::vector<HeadMaps>& levels, const GraphOptions& options,
                      onnx::GraphBuilder& graph);

}  // namespace yoke::engine
