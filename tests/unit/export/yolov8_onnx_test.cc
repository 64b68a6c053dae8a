// The graph's shape; what it computes is compared in tests/numerics/exported_test.py.
#include "server/engine/export/yolov8_onnx.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yoke::engine {
namespace {

using onnx::Dimension;
using ::testing::ElementsAre;
using ::testing::SizeIs;

void AddConvolution(FoldedWeights& weights, const std::string& prefix, int64_t out,
                    int64_t kernel) {
  const auto size = static_cast<size_t>(out * kernel * kernel);
  for (onnx::Tensor tensor :
       {onnx::FloatTensor(prefix + ".weight", {out, 1, kernel, kernel}, std::vector<float>(size)),
        onnx::FloatTensor(prefix + ".bias", {out}, std::vector<float>(static_cast<size_t>(out)))}) {
    const std::string name = tensor.name;
    weights[name] = std::move(tensor);
  }
}

// The names of a network of one bottleneck a block; channels do not matter to the graph.
FoldedWeights Names() {
  FoldedWeights weights;
  for (int layer : {0, 1, 3, 5, 7, 16, 19})
    AddConvolution(weights, absl::StrCat("model.", layer, ".conv"), 2, 3);
  for (int layer : {2, 4, 6, 8, 12, 15, 18, 21}) {
    for (const char* part : {"cv1", "cv2", "m.0.cv1", "m.0.cv2"})
      AddConvolution(weights, absl::StrCat("model.", layer, ".", part, ".conv"), 2, 1);
  }
  AddConvolution(weights, "model.9.cv1.conv", 2, 1);
  AddConvolution(weights, "model.9.cv2.conv", 2, 1);
  for (const char* branch : {"cv2", "cv3"}) {
    for (int level = 0; level < 3; ++level) {
      const std::string prefix = absl::StrCat("model.22.", branch, ".", level);
      AddConvolution(weights, prefix + ".0.conv", 2, 3);
      AddConvolution(weights, prefix + ".1.conv", 2, 3);
      AddConvolution(weights, prefix + ".2", 2, 1);
    }
  }
  return weights;
}

int64_t Count(const onnx::Graph& graph, const std::string& op_type) {
  return std::count_if(graph.nodes.begin(), graph.nodes.end(),
                       [&](const onnx::Node& node) { return node.op_type == op_type; });
}

const onnx::Node& Only(const onnx::Graph& graph, const std::string& op_type) {
  EXPECT_EQ(Count(graph, op_type), 1) << op_type;
  return *std::find_if(graph.nodes.begin(), graph.nodes.end(),
                       [&](const onnx::Node& node) { return node.op_type == op_type; });
}

TEST(Yolov8Graph, FixedShapesAreNumbers) {
  const onnx::Graph graph =
      Yolov8Graph(Names(), {.class_count = 3, .batch = 2, .height = 64, .width = 96});
  EXPECT_EQ(graph.inputs[0].name, "images");
  EXPECT_THAT(graph.inputs[0].shape,
              ElementsAre(Dimension(2), Dimension(3), Dimension(64), Dimension(96)));
  EXPECT_EQ(graph.outputs[0].name, "output0");
  EXPECT_THAT(graph.outputs[0].shape, ElementsAre(Dimension(2), Dimension(7), Dimension(126)));
  EXPECT_EQ(Count(graph, "Range"), 0);
  // Backbone and neck: shortcuts. Then the boxes' centres.
  EXPECT_EQ(Count(graph, "Add"), 4 + 1);
}

TEST(Yolov8Graph, OpenShapesHaveTheReferencesNames) {
  GraphOptions options{.class_count = 3, .dynamic = true};
  onnx::Graph graph = Yolov8Graph(Names(), options);
  EXPECT_THAT(graph.inputs[0].shape, ElementsAre(Dimension("batch"), Dimension(3),
                                                 Dimension("height"), Dimension("width")));
  EXPECT_THAT(graph.outputs[0].shape,
              ElementsAre(Dimension("batch"), Dimension(7), Dimension("anchors")));
  options.suppression = SuppressionOptions{.max_det = 50};
  graph = Yolov8Graph(Names(), options);
  EXPECT_THAT(graph.outputs[0].shape, ElementsAre(Dimension("batch"), Dimension(50), Dimension(6)));
}

TEST(Yolov8Graph, SuppressionPadsOnlyWhereImagesHaveFewerPoints) {
  GraphOptions options{.class_count = 3, .height = 64, .width = 64};  // 84 points
  options.suppression = SuppressionOptions{.max_det = 84};
  EXPECT_EQ(Count(Yolov8Graph(Names(), options), "Pad"), 0);
  options.suppression->max_det = 85;
  const onnx::Graph graph = Yolov8Graph(Names(), options);
  EXPECT_EQ(Only(graph, "Pad").outputs[0], "output0");
  EXPECT_EQ(Only(graph, "NonMaxSuppression").inputs[0], "boxes.apart");
  options.suppression->agnostic = true;
  EXPECT_EQ(Only(Yolov8Graph(Names(), options), "NonMaxSuppression").inputs[0], "boxes");
}

TEST(Yolov8Graph, OperatorsTakeTheFormOfTheirOpset) {
  GraphOptions options{.opset = 17, .class_count = 3};
  options.suppression = SuppressionOptions();
  const onnx::Graph older = Yolov8Graph(Names(), options);
  EXPECT_THAT(Only(older, "ReduceMax").inputs, SizeIs(1));
  EXPECT_THAT(Only(older, "ReduceMax").attributes, SizeIs(1));
  options.opset = 18;
  const onnx::Graph newer = Yolov8Graph(Names(), options);
  EXPECT_THAT(Only(newer, "ReduceMax").inputs, SizeIs(2));
  EXPECT_THAT(Only(newer, "ReduceMax").attributes, SizeIs(0));
}

TEST(Yolov8GraphDeathTest, AMissingWeightIsNamed) {
  FoldedWeights weights = Names();
  weights.erase("model.9.cv2.conv.bias");
  EXPECT_DEATH(Yolov8Graph(weights, {}), "model.9.cv2.conv.bias is missing");
}

}  // namespace
}  // namespace yoke::engine
