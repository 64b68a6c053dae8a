#include "server/engine/model/detection_model.h"

#include "gtest/gtest.h"
#include "server/engine/model/blocks.h"

namespace yoke::engine {
namespace {

int64_t CountParameters(DetectionModel& model) {
  int64_t count = 0;
  for (const at::Tensor& parameter : model.parameters()) count += parameter.numel();
  return count;
}

struct Count {
  int classes;
  int64_t parameters[5];  // n s m l x
};
// As the reference (8.4.190) counts them.
constexpr Count kCounts[] = {{80, {3157200, 11166560, 25902640, 43691520, 68229648}},
                             {1, {3011043, 11135987, 25856899, 43630611, 68153571}},
                             {3, {3011433, 11136761, 25858057, 43632153, 68155497}},
                             {200, {3376440, 11213000, 25972120, 43784040, 68345208}}};

TEST(DetectionModel, HasTheReferencesParameterCounts) {
  for (const Count& count : kCounts) {
    for (int i = 0; i < 5; ++i) {
      const char scale = "nsmlx"[i];
      auto model = DetectionModel::Create({scale, count.classes});
      ASSERT_TRUE(model.ok()) << model.status();
      EXPECT_EQ(CountParameters(**model), count.parameters[i]) << scale << " nc " << count.classes;
    }
  }
}

TEST(DetectionModel, NamesItsStateAsTheReference) {
  auto model = *DetectionModel::Create({'n', 80});
  EXPECT_EQ(model->named_parameters().size(), 184u);
  EXPECT_EQ(model->named_parameters().size() + model->named_buffers().size(), 355u);
  EXPECT_EQ(model->named_parameters()["model.0.conv.weight"].sizes(),
            (std::vector<int64_t>{16, 3, 3, 3}));
  EXPECT_EQ(model->named_parameters()["model.22.cv3.2.2.bias"].numel(), 80);
  EXPECT_TRUE(model->named_buffers().contains("model.6.m.1.cv2.bn.running_var"));
}

TEST(DetectionModel, ClassBranchesMayHaveAnotherWidth) {
  EXPECT_EQ((*DetectionModel::Create({'n', 3}))->spec().class_width, 64);
  auto model = *DetectionModel::Create({'n', 3, 80});
  EXPECT_EQ(model->spec().class_width, 80);
  EXPECT_EQ(model->named_parameters()["model.22.cv3.0.1.conv.weight"].sizes(),
            (std::vector<int64_t>{80, 80, 3, 3}));
  EXPECT_EQ(model->named_parameters()["model.22.cv3.0.2.weight"].sizes(),
            (std::vector<int64_t>{3, 80, 1, 1}));
  EXPECT_FALSE(DetectionModel::Create({'n', 3, -1}).ok());
}

TEST(DetectionModel, InitialisesTheHeadsBiases) {
  auto classic = *DetectionModel::Create({'n', 80});
  EXPECT_NEAR(classic->named_parameters()["model.22.cv3.0.2.bias"][0].item<float>(), -11.536642,
              1e-5);
  EXPECT_NEAR(classic->named_parameters()["model.22.cv3.2.2.bias"][0].item<float>(), -8.764053,
              1e-5);
  EXPECT_FLOAT_EQ(classic->named_parameters()["model.22.cv2.0.2.bias"][0].item<float>(), 1.0f);
  auto modern = *DetectionModel::Create({'n', 3}, {.box_bias = 2, .running_var = 1});
  EXPECT_NEAR(modern->named_parameters()["model.22.cv3.0.2.bias"][0].item<float>(), -8.253227,
              1e-5);
  EXPECT_FLOAT_EQ(modern->named_parameters()["model.22.cv2.0.2.bias"][0].item<float>(), 2.0f);
}

TEST(DetectionModel, GivesMapsAndPredictionsOfTheRightShape) {
  auto model = *DetectionModel::Create({'n', 3});
  model->eval();
  at::NoGradGuard no_grad;
  const at::Tensor images = at::rand({2, 3, 64, 96});
  const auto maps = model->Forward(images);
  EXPECT_EQ(maps.box[0].sizes(), (std::vector<int64_t>{2, 64, 8, 12}));
  EXPECT_EQ(maps.cls[0].sizes(), (std::vector<int64_t>{2, 3, 8, 12}));
  EXPECT_EQ(maps.cls[2].sizes(), (std::vector<int64_t>{2, 3, 2, 3}));
  EXPECT_EQ(model->Predict(images).sizes(), (std::vector<int64_t>{2, 7, 96 + 24 + 6}));
}

TEST(DetectionModel, FusingChangesNothingButTheSpeed) {
  auto model = *DetectionModel::Create({'n', 3});
  at::NoGradGuard no_grad;
  for (auto& buffer : model->named_buffers()) {
    if (buffer.key().find("running") != std::string::npos) buffer.value().uniform_(0.5, 1.5);
  }
  model->eval();
  const at::Tensor images = at::rand({1, 3, 64, 64});
  const at::Tensor before = model->Predict(images);
  model->Fuse();
  EXPECT_TRUE(at::allclose(model->Predict(images), before, 1e-3, 1e-3));
}

// The recomputing operation against the two it replaces, in gradient and in running statistics.
TEST(ConvBlock, HasTheGradientOfBatchNormAndSilu) {
  torch::manual_seed(1);
  ConvBlock block(3, 5, 3, 1, 1.0, 0);
  at::Tensor x = at::randn({2, 3, 6, 6}).requires_grad_(true);
  at::Tensor mean = at::zeros({5}), var = at::ones({5});
  const at::Tensor want =
      at::silu(at::batch_norm(block.conv->Forward(x), block.bn->weight, block.bn->bias, mean, var,
                              true, kBatchNormMomentum, kBatchNormEps, false));
  const at::Tensor pattern = at::randn_like(want);
  (want * pattern).sum().backward();
  const at::Tensor want_x = x.grad().clone(), want_weight = block.conv->weight.grad().clone(),
                   want_gamma = block.bn->weight.grad().clone();
  block.zero_grad();
  x.mutable_grad().reset();
  const at::Tensor got = block.Forward(x);
  (got * pattern).sum().backward();
  EXPECT_TRUE(at::allclose(got, want, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(x.grad(), want_x, 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(block.conv->weight.grad(), want_weight, 1e-4, 1e-4));
  EXPECT_TRUE(at::allclose(block.bn->weight.grad(), want_gamma, 1e-4, 1e-4));
  EXPECT_TRUE(at::allclose(block.bn->running_var, var, 1e-5, 1e-6));
  EXPECT_EQ(block.bn->num_batches_tracked.item<int64_t>(), 1);
}

TEST(DetectionModel, RefusesUnknownScalesAndReadsThemFromNames) {
  EXPECT_FALSE(DetectionModel::Create({'q', 3}).ok());
  EXPECT_FALSE(DetectionModel::Create({'n', 0}).ok());
  EXPECT_EQ(ScaleFromName("yolov8x.pt"), 'x');
  EXPECT_EQ(ScaleFromName("/some/yolov8n.yaml"), 'n');
  EXPECT_EQ(ScaleFromName("yolov8n-seg.pt"), '\0');
  EXPECT_EQ(ScaleFromName("yolov5n.pt"), '\0');
}

}  // namespace
}  // namespace yoke::engine
