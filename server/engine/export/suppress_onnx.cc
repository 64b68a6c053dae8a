#include "server/engine/export/suppress_onnx.h"

#include <algorithm>
#include <vector>

namespace yoke::engine {
namespace {

using onnx::GraphBuilder;
using onnx::Value;
using Ints = std::vector<int64_t>;

constexpr float kClassOffset = 7680;  // px; moves the boxes of different classes apart, see nms.cc

// (B, 1, A). The axes became an input with opset 18.
Value BestScore(const Value& scores_BKA, int opset, GraphBuilder& g) {
  if (opset < 18) return g.Call("ReduceMax", "best", {scores_BKA}, {{"axes", Ints{1}}});
  return g.Call("ReduceMax", "best", {scores_BKA, g.Ints({1})});
}

// How many detections of an image come out, before padding: (1).
Value TopCount(const Value& shape_BA, int64_t max_det, int64_t anchors, GraphBuilder& g) {
  if (anchors > 0) return g.Ints({std::min(max_det, anchors)});
  const Value all = g.Call("Slice", "top.most", {shape_BA, g.Ints({1}), g.Ints({2})});
  return g.Call("Min", "top.count", {all, g.Ints({max_det})});
}

}  // namespace

// Order is nothing that NonMaxSuppression promises, and images have different counts. So what it
// selects is written into a table of all anchor points, of which TopK takes the best of each image.
Value AppendSuppression(const Value& boxes_BA4, const Value& scores_BKA,
                        const SuppressionOptions& options, int64_t anchors, int opset,
                        GraphBuilder& g) {
  const auto as_column = [&](const std::string& name, const Value& value_B1A) {
    return g.Call("Transpose", name, {value_B1A}, {{"perm", Ints{0, 2, 1}}});
  };
  const Value best_B1A = BestScore(scores_BKA, opset, g);
  const Value id = g.Call("ArgMax", "class.id", {scores_BKA}, {{"axis", int64_t{1}}});
  const Value class_B1A = g.Call("Cast", "class", {id}, {{"to", onnx::kFloatCode}});
  const Value best_BA1 = as_column("best.column", best_B1A);
  const Value class_BA1 = as_column("class.column", class_B1A);

  Value apart_BA4 = boxes_BA4;
  if (!options.agnostic) {
    const Value offset = g.Call("Mul", "class.offset", {class_BA1, g.Float(kClassOffset)});
    apart_BA4 = g.Call("Add", "boxes.apart", {boxes_BA4, offset});
  }
  const Value selected = g.Call(
      "NonMaxSuppression", "selected",
      {apart_BA4, best_B1A, g.Int(options.max_det), g.Float(options.iou), g.Float(options.conf)});
  // Its rows are image, class (one: the best), anchor point.
  const Value place =
      g.Call("Gather", "selected.place", {selected, g.Ints({0, 2})}, {{"axis", int64_t{1}}});

  const Value best_BA = g.Call("Squeeze", "best.row", {best_B1A, g.Ints({1})});
  const Value shape_BA = g.Call("Shape", "best.shape", {best_BA});
  const Value nothing = g.Call("ConstantOfShape", "table.empty", {shape_BA});
  const Value confidence = g.Call("GatherND", "selected.confidence", {best_BA, place});
  const Value table_BA = g.Call("ScatterND", "table", {nothing, place, confidence});

  const Value count = TopCount(shape_BA, options.max_det, anchors, g);
  const std::vector<Value> top = g.CallMany("TopK", "top", {table_BA, count}, {}, 2);
  const Value rows =
      g.Call("Concat", "rows", {boxes_BA4, best_BA1, class_BA1}, {{"axis", int64_t{2}}});
  const Value index = g.Call("Unsqueeze", "top.index", {top[1], g.Ints({-1})});
  const Value picked = g.Call("GatherND", "top.rows", {rows, index}, {{"batch_dims", int64_t{1}}});
  const Value is_one = g.Call("Greater", "top.kept", {top[0], g.Float(0)});
  const Value mask = g.Call("Unsqueeze", "top.mask", {is_one, g.Ints({-1})});
  const bool full = options.max_det <= anchors;
  const Value kept = g.Call("Where", full ? "output0" : "detections", {mask, picked, g.Float(0)});
  if (full) return kept;

  const Value missing = g.Call("Sub", "padding.rows", {g.Ints({options.max_det}), count});
  const Value padding = g.Call("Concat", "padding", {g.Ints({0, 0, 0, 0}), missing, g.Ints({0})},
                               {{"axis", int64_t{0}}});
  return g.Call("Pad", "output0", {kept, padding});
}

}  // namespace yoke::engine
