// The network against the reference: names and shapes of its state, and its outputs for the
// official weights.
#include <cstdlib>
#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/model/detection_model.h"
#include "tests/numerics/golden_file.h"

namespace yoke::engine {
namespace {

std::string ShapeText(const at::Tensor& tensor) {
  std::string text;
  for (int64_t size : tensor.sizes()) text += (text.empty() ? "" : "x") + std::to_string(size);
  return text.empty() ? "scalar" : text;
}

TEST(Network, HasTheReferencesStateByNameAndShape) {
  auto model = *DetectionModel::Create({'n', 80});
  std::map<std::string, std::string> got, want;
  for (auto& item : model->named_parameters()) got[item.key()] = ShapeText(item.value());
  for (auto& item : model->named_buffers()) got[item.key()] = ShapeText(item.value());
  std::ifstream file(GoldenPath("state_names_n80.txt"));
  std::string name, shape;
  while (file >> name >> shape) want[name] = shape;
  EXPECT_EQ(want.size(), 355u);
  EXPECT_EQ(got, want);
}

// Boxes reach hundreds of pixels, so their tolerance is relative to the picture's 96 px; scores are
// absolute.
TEST(Network, PredictsAsTheReferenceFusedAndUnfused) {
  const char* data = std::getenv("YOKE_TEST_DATA");
  if (data == nullptr)
    GTEST_SKIP() << "YOKE_TEST_DATA is not set: the official weights are not here";
  auto weights = ReadWeights(std::string(data) + "/weights/yolov8n.pt");
  ASSERT_TRUE(weights.ok()) << weights.status();
  auto model = *DetectionModel::Create(weights->spec);
  ASSERT_EQ(Transfer(*weights, *model).copied, 355);
  model->eval();
  at::NoGradGuard no_grad;
  const at::Tensor images = RecordedUniform(99, 2 * 3 * 64 * 96).reshape({2, 3, 64, 96});
  auto golden = ReadGolden("network_yolov8n.golden");
  const auto expect_equal = [](const at::Tensor& got, const at::Tensor& want) {
    ASSERT_EQ(got.sizes(), want.sizes());
    const at::Tensor difference = (got - want).abs();
    EXPECT_LT(difference.narrow(1, 0, 4).max().item<double>(), 96 * 1e-4);
    EXPECT_LT(difference.narrow(1, 4, 80).max().item<double>(), 1e-4);
  };
  expect_equal(model->Predict(images), golden["prediction"]);
  model->Fuse();
  expect_equal(model->Predict(images), golden["fused"]);
}

}  // namespace
}  // namespace yoke::engine
