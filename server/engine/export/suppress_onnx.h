// Non-maximum suppression in the graph, the same as eval/nms.h does.
#pragma once

#include "server/engine/export/onnx_graph.h"
#include "server/engine/export/yolov8_onnx.h"

namespace yoke::engine {

// boxes (B, A, 4), x1, y1, x2, y2 in px, and scores (B, K, A) -> (B, max_det, 6), called "output0",
// as Yolov8Graph describes it. `anchors`: A, or 0 if only the
// images tell.
onnx::Value AppendSuppression(const onnx::Value& boxes_BA4, const onnx::Value& scores_BKA,
                              const SuppressionOptions& options, int64_t anchors, int opset,
                              onnx::GraphBuilder& graph);

}  // namespace yoke::engine
