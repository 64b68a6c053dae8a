#include "server/engine/export/detect_onnx.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "server/engine/export/suppress_onnx.h"

namespace yoke::engine {
namespace {

using onnx::GraphBuilder;
using onnx::Value;
using Ints = std::vector<int64_t>;

constexpr int64_t kBins = 16;  // of the distribution of a side, see DetectionModel
constexpr int64_t kSides = 4;  // left, top, right, bottom

// How the four numbers of a box follow from the distances of its sides from the anchor point.
struct BoxForm {
  float of_side[kSides][4];
  bool centre_of[4];  // counted from the anchor point's x, y, x, y
};
constexpr BoxForm kXywh = {{{-0.5f, 0, 1, 0}, {0, -0.5f, 0, 1}, {0.5f, 0, 1, 0}, {0, 0.5f, 0, 1}},
                           {true, true, false, false}};
constexpr BoxForm kXyxy = {{{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}},
                           {true, true, true, true}};

// Of all anchor points, px.
struct Grid {
  Value strides_A1;
  Value centres_A4;  // what a box's four numbers are counted from
};

// 0 if only the images tell.
int64_t AnchorCount(const std::vector<HeadMaps>& levels, const GraphOptions& options) {
  int64_t count = 0;
  if (options.dynamic) return count;
  for (const HeadMaps& level : levels)
    count += (options.height / level.stride) * (options.width / level.stride);
  return count;
}

// The levels' maps side by side, (B, rows, A).
Value Join(const std::vector<HeadMaps>& levels, Value HeadMaps::*map, int64_t rows,
           const std::string& name, GraphBuilder& g) {
  std::vector<Value> parts;
  for (const HeadMaps& level : levels) {
    parts.push_back(g.Call("Reshape", absl::StrCat(name, ".", level.stride),
                           {level.*map, g.Ints({0, rows, -1})}));
  }
  return g.Call("Concat", name, parts, {{"axis", int64_t{2}}});
}

Grid FixedGrid(const std::vector<HeadMaps>& levels, const GraphOptions& options,
               const BoxForm& form, GraphBuilder& g) {
  std::vector<float> strides, centres;
  for (const HeadMaps& level : levels) {
    const auto stride = static_cast<float>(level.stride);
    for (int64_t y = 0; y < options.height / level.stride; ++y) {
      for (int64_t x = 0; x < options.width / level.stride; ++x) {
        strides.push_back(stride);
        for (int i = 0; i < 4; ++i) {
          const auto cell = static_cast<float>(i % 2 == 0 ? x : y);
          centres.push_back(form.centre_of[i] ? (cell + 0.5f) * stride : 0);
        }
      }
    }
  }
  const auto anchors = static_cast<int64_t>(strides.size());
  return {g.Constant(onnx::FloatTensor("strides", {anchors, 1}, strides)),
          g.Constant(onnx::FloatTensor("centres", {anchors, 4}, centres))};
}

// The same from the maps' own shapes.
Grid DynamicGrid(const std::vector<HeadMaps>& levels, const BoxForm& form, GraphBuilder& g) {
  std::vector<Value> strides, centres;
  for (const HeadMaps& level : levels) {
    const std::string at = absl::StrCat("grid.", level.stride, ".");
    const auto stride = static_cast<float>(level.stride);
    const Value shape = g.Call("Shape", at + "shape", {level.boxes});
    const Value cells = g.Call("Slice", at + "cells", {shape, g.Ints({2}), g.Ints({4})});
    const auto centres_along = [&](const std::string& axis, int64_t dimension) {
      const Value size = g.Call("Gather", at + axis + ".size", {shape, g.Int(dimension)});
      Value v = g.Call("Range", at + axis + ".cells", {g.Int(0), size, g.Int(1)});
      v = g.Call("Cast", at + axis + ".float", {v}, {{"to", onnx::kFloatCode}});
      v = g.Call("Add", at + axis + ".middle", {v, g.Float(0.5f)});
      return g.Call("Mul", at + axis + ".px", {v, g.Float(stride)});
    };
    const auto of_each_cell = [&](const std::string& axis, const Value& px) {
      const Value map = g.Call("Expand", at + axis + ".map", {px, cells});
      return g.Call("Reshape", at + axis, {map, g.Ints({-1, 1})});
    };
    const Value x = of_each_cell("x", centres_along("x", 3));
    const Value rows = g.Call("Unsqueeze", at + "rows", {centres_along("y", 2), g.Ints({1})});
    const Value y = of_each_cell("y", rows);
    const Value zero = g.Call("Mul", at + "zero", {x, g.Float(0)});
    strides.push_back(g.Call("Add", at + "stride", {zero, g.Float(stride)}));
    const auto column = [&](int i) { return !form.centre_of[i] ? zero : i % 2 == 0 ? x : y; };
    centres.push_back(g.Call("Concat", at + "centres", {column(0), column(1), column(2), column(3)},
                             {{"axis", int64_t{1}}}));
  }
  return {g.Call("Concat", "strides", strides, {{"axis", int64_t{0}}}),
          g.Call("Concat", "centres", centres, {{"axis", int64_t{0}}})};
}

// (B, A, 4), px. The distance of a side is the expectation over its bins, and a box is linear in
// the distances, so one matrix takes the bins' probabilities to the box.
Value Boxes(const std::vector<HeadMaps>& levels, const Grid& grid, const BoxForm& form,
            GraphBuilder& g) {
  std::vector<float> matrix;
  for (const auto& of_side : form.of_side) {
    for (int64_t bin = 0; bin < kBins; ++bin) {
      for (const float factor : of_side) matrix.push_back(factor * static_cast<float>(bin));
    }
  }
  const int64_t rows = kSides * kBins;
  Value v = Join(levels, &HeadMaps::boxes, rows, "bins", g);
  v = g.Call("Transpose", "bins.last", {v}, {{"perm", Ints{0, 2, 1}}});
  v = g.Call("Reshape", "bins.of_sides", {v, g.Ints({0, -1, kSides, kBins})});
  v = g.Call("Softmax", "bins.probability", {v}, {{"axis", int64_t{3}}});
  v = g.Call("Reshape", "bins.flat", {v, g.Ints({0, -1, rows})});
  v = g.Call("MatMul", "boxes.cells",
             {v, g.Constant(onnx::FloatTensor("boxes.matrix", {rows, 4}, matrix))});
  v = g.Call("Mul", "boxes.offset", {v, grid.strides_A1});
  return g.Call("Add", "boxes", {v, grid.centres_A4});
}

}  // namespace

void AppendDetections(const std::vector<HeadMaps>& levels, const GraphOptions& options,
                      GraphBuilder& graph) {
  const BoxForm& form = options.suppression ? kXyxy : kXywh;
  const Grid grid =
      options.dynamic ? DynamicGrid(levels, form, graph) : FixedGrid(levels, options, form, graph);
  const Value boxes_BA4 = Boxes(levels, grid, form, graph);
  const Value logits = Join(levels, &HeadMaps::scores, options.class_count, "logits", graph);
  const Value scores_BKA = graph.Call("Sigmoid", "scores", {logits});

  const onnx::Dimension batch =
      options.dynamic ? onnx::Dimension("batch") : onnx::Dimension(options.batch);
  const int64_t anchors = AnchorCount(levels, options);
  if (options.suppression) {
    const Value rows = AppendSuppression(boxes_BA4, scores_BKA, *options.suppression, anchors,
                                         options.opset, graph);
    graph.Output(rows, {batch, options.suppression->max_det, int64_t{6}});
    return;
  }
  const Value boxes_B4A =
      graph.Call("Transpose", "boxes.rows", {boxes_BA4}, {{"perm", Ints{0, 2, 1}}});
  const Value output =
      graph.Call("Concat", "output0", {boxes_B4A, scores_BKA}, {{"axis", int64_t{1}}});
  graph.Output(output, {batch, 4 + options.class_count,
                        options.dynamic ? onnx::Dimension("anchors") : onnx::Dimension(anchors)});
}

}  // namespace yoke::engine
