#include "server/engine/export/yolov8_onnx.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "server/engine/export/detect_onnx.h"
#include "server/engine/export/onnx_graph.h"

namespace yoke::engine {
namespace {

using onnx::GraphBuilder;
using onnx::Value;
using Ints = std::vector<int64_t>;

// Appends modules by the prefix of their weights' names; nodes are named after them too.
class Network {
 public:
  Network(const FoldedWeights& weights, GraphBuilder& graph) : weights_(weights), graph_(graph) {}

  // Backbone, neck and head, numbered as the reference numbers its layers.
  std::vector<HeadMaps> Append(const Value& images);

 private:
  bool Has(const std::string& name) const { return weights_.contains(name); }
  const onnx::Tensor& Find(const std::string& name) const {
    const auto found = weights_.find(name);
    YOKE_CHECK_MSG(found != weights_.end(), name + " is missing");
    return found->second;
  }
  Value Weight(const std::string& name) { return graph_.Constant(Find(name)); }

  Value Convolution(const std::string& prefix, const Value& x, int64_t stride);
  Value ConvBlock(const std::string& prefix, const Value& x, int64_t stride = 1);
  Value C2f(const std::string& prefix, const Value& x, bool shortcut);
  Value Sppf(const std::string& prefix, const Value& x);
  Value Branch(const std::string& prefix, const Value& x);
  Value Upsample(const std::string& name, const Value& x);
  Value Concat(const std::string& name, std::vector<Value> parts) {
    return graph_.Call("Concat", name, std::move(parts), {{"axis", int64_t{1}}});
  }

  const FoldedWeights& weights_;
  GraphBuilder& graph_;
};

Value Network::Convolution(const std::string& prefix, const Value& x, int64_t stride) {
  const int64_t kernel = Find(prefix + ".weight").dims.back(), padding = kernel / 2;
  return graph_.Call("Conv", prefix, {x, Weight(prefix + ".weight"), Weight(prefix + ".bias")},
                     {{"kernel_shape", Ints{kernel, kernel}},
                      {"pads", Ints{padding, padding, padding, padding}},
                      {"strides", Ints{stride, stride}}});
}

// With SiLU, x * sigmoid(x), which has no operator of its own.
Value Network::ConvBlock(const std::string& prefix, const Value& x, int64_t stride) {
  const Value y = Convolution(prefix + ".conv", x, stride);
  return graph_.Call("Mul", prefix + ".act", {y, graph_.Call("Sigmoid", prefix + ".sigmoid", {y})});
}

Value Network::C2f(const std::string& prefix, const Value& x, bool shortcut) {
  const Value y = ConvBlock(prefix + ".cv1", x);
  const int64_t half = Find(prefix + ".cv1.conv.weight").dims.front() / 2;
  std::vector<Value> parts = graph_.CallMany(
      "Split", prefix + ".split", {y, graph_.Ints({half, half})}, {{"axis", int64_t{1}}}, 2);
  for (int i = 0;; ++i) {
    const std::string bottleneck = absl::StrCat(prefix, ".m.", i);
    if (!Has(bottleneck + ".cv1.conv.weight")) break;
    const Value z = ConvBlock(bottleneck + ".cv2", ConvBlock(bottleneck + ".cv1", parts.back()));
    parts.push_back(shortcut ? graph_.Call("Add", bottleneck + ".add", {parts.back(), z}) : z);
  }
  return ConvBlock(prefix + ".cv2", Concat(prefix + ".concat", std::move(parts)));
}

Value Network::Sppf(const std::string& prefix, const Value& x) {
  std::vector<Value> parts = {ConvBlock(prefix + ".cv1", x)};
  for (int i = 0; i < 3; ++i) {
    parts.push_back(graph_.Call(
        "MaxPool", absl::StrCat(prefix, ".pool.", i), {parts.back()},
        {{"kernel_shape", Ints{5, 5}}, {"pads", Ints{2, 2, 2, 2}}, {"strides", Ints{1, 1}}}));
  }
  return ConvBlock(prefix + ".cv2", Concat(prefix + ".concat", std::move(parts)));
}

Value Network::Branch(const std::string& prefix, const Value& x) {
  return Convolution(prefix + ".2", ConvBlock(prefix + ".1", ConvBlock(prefix + ".0", x)), 1);
}

// Twice the size, nearest pixel. The mode is the one that runtimes know a fast kernel for.
Value Network::Upsample(const std::string& name, const Value& x) {
  const Value scales = name + ".scales";
  return graph_.Call("Resize", name,
                     {x, "", graph_.Constant(onnx::FloatTensor(scales, {4}, {1, 1, 2, 2}))},
                     {{"mode", std::string("nearest")},
                      {"coordinate_transformation_mode", std::string("asymmetric")},
                      {"nearest_mode", std::string("floor")}});
}

std::vector<HeadMaps> Network::Append(const Value& images) {
  Value x = ConvBlock("model.1", ConvBlock("model.0", images, 2), 2);
  x = C2f("model.2", x, true);
  const Value p3 = C2f("model.4", ConvBlock("model.3", x, 2), true);
  const Value p4 = C2f("model.6", ConvBlock("model.5", p3, 2), true);
  const Value p5 = Sppf("model.9", C2f("model.8", ConvBlock("model.7", p4, 2), true));
  const Value n4 = C2f("model.12", Concat("model.11", {Upsample("model.10", p5), p4}), false);
  const Value out3 = C2f("model.15", Concat("model.14", {Upsample("model.13", n4), p3}), false);
  x = Concat("model.17", {ConvBlock("model.16", out3, 2), n4});
  const Value out4 = C2f("model.18", x, false);
  x = Concat("model.20", {ConvBlock("model.19", out4, 2), p5});
  const Value out5 = C2f("model.21", x, false);

  std::vector<HeadMaps> levels;
  int64_t stride = 8;
  for (const Value& level : {out3, out4, out5}) {
    const size_t i = levels.size();
    levels.push_back({Branch(absl::StrCat("model.22.cv2.", i), level),
                      Branch(absl::StrCat("model.22.cv3.", i), level), stride});
    stride *= 2;
  }
  return levels;
}

}  // namespace

onnx::Graph Yolov8Graph(const FoldedWeights& weights, const GraphOptions& options) {
  GraphBuilder graph;
  std::vector<onnx::Dimension> shape = {options.batch, int64_t{3}, options.height, options.width};
  if (options.dynamic) shape = {"batch", int64_t{3}, "height", "width"};
  const Value images = graph.Input("images", std::move(shape));
  AppendDetections(Network(weights, graph).Append(images), options, graph);
  return std::move(graph).Finish("yolov8");
}

}  // namespace yoke::engine
