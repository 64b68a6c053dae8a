// What training relies on; the values themselves are compared with the reference in tests/numerics.
#include "server/engine/loss/detection_loss.h"

#include "ATen/Parallel.h"
#include "gtest/gtest.h"
#include "server/engine/model/detection_model.h"

namespace yoke::engine {
namespace {

constexpr int kClasses = 3;

Targets Boxes(const std::vector<int64_t>& images) {
  const auto count = static_cast<int64_t>(images.size());
  return {at::tensor(images, at::kLong), at::ones({count}, at::kLong),
          at::tensor({0.5f, 0.4f, 0.3f, 0.5f}).repeat({count, 1})};
}

// Random maps of a 64 px input whose boxes have about the size of real ones.
std::vector<at::Tensor> Maps() {
  std::vector<at::Tensor> maps;
  const at::Tensor bins = at::arange(64, at::kFloat).remainder(16).reshape({1, 64, 1, 1});
  for (const int64_t side : {8, 4, 2}) {
    maps.push_back(at::cat(
        {at::randn({1, 64, side, side}) - bins * 0.6, at::randn({1, kClasses, side, side})}, 1));
  }
  return maps;
}

class Loss : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(3);
    at::set_num_threads(1);  // small tensors; more threads only wait for each other
  }
  DetectionLoss loss_{{.class_count = kClasses}};
};

// A rank without objects must take part in averaging every gradient.
TEST_F(Loss, GivesEveryParameterAGradientWithAndWithoutObjects) {
  auto model = *DetectionModel::Create({'n', kClasses});
  model->train();
  for (const Targets& targets : {Boxes({}), Boxes({0, 1})}) {
    model->zero_grad();
    loss_.Compute(model->Forward(at::rand({2, 3, 64, 64})), targets).total.backward();
    for (const auto& item : model->named_parameters()) {
      if (!item.value().requires_grad()) continue;
      ASSERT_TRUE(item.value().grad().defined()) << item.key();
      EXPECT_TRUE(at::isfinite(item.value().grad()).all().item<bool>()) << item.key();
    }
  }
}

TEST_F(Loss, WithoutObjectsOnlyTheClassesCost) {
  const LossOutput out = loss_.Compute(Maps(), Boxes({}));
  EXPECT_EQ(out.items_3[0].item<float>(), 0);
  EXPECT_GT(out.items_3[1].item<float>(), 0);
  EXPECT_EQ(out.items_3[2].item<float>(), 0);
}

// The same image four times. There are enough objects that the mass of their scores, which the sums
// are divided by, is above its floor of 1.
TEST_F(Loss, TheTotalGrowsWithTheBatchAndThePartsDoNot) {
  const auto crowd = [](int64_t images) {
    constexpr int64_t kEach = 12;
    const at::Tensor places = at::linspace(0.2, 0.8, kEach);
    const at::Tensor boxes =
        at::stack({places, places.flip(0), at::full({kEach}, 0.3), at::full({kEach}, 0.4)}, 1);
    return Targets{at::arange(images).repeat_interleave(kEach),
                   at::ones({images * kEach}, at::kLong), boxes.repeat({images, 1})};
  };
  const std::vector<at::Tensor> maps = Maps();
  std::vector<at::Tensor> four_maps;
  for (const at::Tensor& map : maps) four_maps.push_back(map.repeat({4, 1, 1, 1}));
  ASSERT_GT(loss_.Assign(maps, crowd(1)).target_scores_BAK.sum().item<float>(), 1);
  const LossOutput one = loss_.Compute(maps, crowd(1)), four = loss_.Compute(four_maps, crowd(4));
  EXPECT_TRUE(at::allclose(four.items_3, one.items_3, 1e-4));
  EXPECT_NEAR(one.total.item<float>(), one.items_3.sum().item<float>(), 1e-4);
  EXPECT_NEAR(four.total.item<float>(), 4 * one.total.item<float>(),
              1e-4 * four.total.item<float>());
}

TEST_F(Loss, GainsScaleTheirPart) {
  const std::vector<at::Tensor> maps = Maps();
  const at::Tensor plain = loss_.Compute(maps, Boxes({0})).items_3;
  const DetectionLoss doubled(
      {.class_count = kClasses, .box_gain = 15, .cls_gain = 1.5, .dfl_gain = 6});
  EXPECT_TRUE(at::allclose(doubled.Compute(maps, Boxes({0})).items_3,
                           plain * at::tensor({2.0f, 3.0f, 4.0f}), 1e-4));
}

TEST_F(Loss, PartsCarryNoGradient) {
  std::vector<at::Tensor> maps = Maps();
  for (at::Tensor& map : maps) map.requires_grad_(true);
  const LossOutput out = loss_.Compute(maps, Boxes({0}));
  EXPECT_TRUE(out.total.requires_grad());
  EXPECT_FALSE(out.items_3.requires_grad());
}

}  // namespace
}  // namespace yoke::engine
