// What training relies on; the values themselves are compared with the reference in tests/numerics.
#include "server/engine/loss/detection_loss.h"

#include <set>
#include <string>

#include "ATen/Parallel.h"
#include "ATen/record_function.h"
#include "gtest/gtest.h"
#include "server/engine/loss/tensor_loss.h"
#include "server/engine/model/detection_model.h"

namespace yoke::engine {
namespace {

constexpr int kClasses = 3;

// One box in each of the listed images of a batch.
Targets Boxes(const std::vector<int64_t>& images, int64_t batch = 1) {
  const auto count = static_cast<int64_t>(images.size());
  return PadTargets(at::tensor(images, at::kLong), at::ones({count}, at::kLong),
                    at::tensor({0.5f, 0.4f, 0.3f, 0.5f}).repeat({count, 1}), batch);
}

// Random maps of a 64 px input whose boxes have about the size of real ones.
HeadMaps Maps(int64_t batch = 1, int64_t side = 8) {
  HeadMaps maps;
  const at::Tensor bins = at::arange(64, at::kFloat).remainder(16).reshape({1, 64, 1, 1});
  for (size_t i = 0; i < 3; ++i, side /= 2) {
    maps.box[i] = at::randn({batch, 64, side, side}) - bins * 0.6;
    maps.cls[i] = at::randn({batch, kClasses, side, side});
  }
  return maps;
}

// Many boxes of all sizes, a batch's first image without any.
Targets Crowd(int64_t batch, int64_t each) {
  const int64_t count = (batch - 1) * each;
  const at::Tensor size = at::rand({count, 2}).pow(2) * 0.6 + 0.01;
  return PadTargets(at::arange(1, batch).repeat_interleave(each),
                    at::randint(kClasses, {count}, at::kLong),
                    at::cat({size / 2 + at::rand({count, 2}) * (1 - size), size}, 1), batch);
}

std::vector<at::Tensor> All(const HeadMaps& maps) {
  return {maps.box[0], maps.box[1], maps.box[2], maps.cls[0], maps.cls[1], maps.cls[2]};
}

HeadMaps Leaves(const HeadMaps& maps, at::ScalarType type = at::kFloat) {
  HeadMaps leaves;
  for (size_t i = 0; i < 3; ++i) {
    leaves.box[i] = maps.box[i].to(type).detach().clone().requires_grad_(true);
    leaves.cls[i] = maps.cls[i].to(type).detach().clone().requires_grad_(true);
  }
  return leaves;
}

class Loss : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(3);
    at::set_num_threads(1);  // small tensors; more threads only wait for each other
  }
  LossConfig config_{.class_count = kClasses};
  DetectionLoss loss_{config_};
};

// A rank without objects must take part in averaging every gradient.
TEST_F(Loss, GivesEveryParameterAGradientWithAndWithoutObjects) {
  auto model = *DetectionModel::Create({'n', kClasses});
  model->train();
  for (const Targets& targets : {Boxes({}, 2), Boxes({0, 1}, 2)}) {
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
    return PadTargets(at::arange(images).repeat_interleave(kEach),
                      at::ones({images * kEach}, at::kLong), boxes.repeat({images, 1}), images);
  };
  const HeadMaps maps = Maps();
  HeadMaps four_maps;
  for (size_t i = 0; i < 3; ++i) {
    four_maps.box[i] = maps.box[i].repeat({4, 1, 1, 1});
    four_maps.cls[i] = maps.cls[i].repeat({4, 1, 1, 1});
  }
  ASSERT_GT(AssignTensors(config_, maps, crowd(1)).target_scores_BAK.sum().item<float>(), 1);
  const LossOutput one = loss_.Compute(maps, crowd(1)), four = loss_.Compute(four_maps, crowd(4));
  EXPECT_TRUE(at::allclose(four.items_3, one.items_3, 1e-4));
  EXPECT_NEAR(one.total.item<float>(), one.items_3.sum().item<float>(), 1e-4);
  EXPECT_NEAR(four.total.item<float>(), 4 * one.total.item<float>(),
              1e-4 * four.total.item<float>());
}

TEST_F(Loss, GainsScaleTheirPart) {
  const HeadMaps maps = Maps();
  const at::Tensor plain = loss_.Compute(maps, Boxes({0})).items_3;
  const DetectionLoss doubled(
      {.class_count = kClasses, .box_gain = 15, .cls_gain = 1.5, .dfl_gain = 6});
  EXPECT_TRUE(at::allclose(doubled.Compute(maps, Boxes({0})).items_3,
                           plain * at::tensor({2.0f, 3.0f, 4.0f}), 1e-4));
}

TEST_F(Loss, PartsCarryNoGradient) {
  const LossOutput out = loss_.Compute(Leaves(Maps()), Boxes({0}));
  EXPECT_TRUE(out.total.requires_grad());
  EXPECT_FALSE(out.items_3.requires_grad());
}

// The two implementations share no code but the formulas: on crowds, with tiny boxes and an image
// without objects, with the floor and with class weights, and whatever the gradient is multiplied
// by.
TEST_F(Loss, OnCpusEqualsTheOneInTensors) {
  for (const double floor : {0.0, 16.0}) {
    for (const int64_t each : {3, 60}) {
      config_.tal_floor = floor;
      config_.class_weight_K = each == 3 ? at::Tensor() : at::tensor({0.5f, 1.0f, 1.5f});
      const HeadMaps maps = Maps(4, 16);
      const Targets targets = Crowd(4, each);
      const HeadMaps ours = Leaves(maps), theirs = Leaves(maps);
      const LossOutput a = DetectionLoss(config_).Compute(ours, targets),
                       b = TensorLoss(config_, theirs, targets);
      EXPECT_TRUE(at::allclose(a.items_3, b.items_3, 1e-4, 1e-6)) << a.items_3 << b.items_3;
      (a.total * 3).backward();
      (b.total * 3).backward();
      for (size_t i = 0; i < 6; ++i) {
        const at::Tensor want = All(theirs)[i].grad();
        EXPECT_TRUE(
            at::allclose(All(ours)[i].grad(), want, 1e-3, 1e-4 * want.abs().max().item<double>()))
            << "map " << i << ", " << each << " boxes, floor " << floor;
      }
    }
  }
}

TEST_F(Loss, TakesReducedPrecision) {
  const HeadMaps maps = Maps(2, 16);
  const Targets targets = Crowd(2, 10);
  const HeadMaps whole = Leaves(maps), reduced = Leaves(maps, at::kBFloat16);
  const LossOutput a = loss_.Compute(whole, targets), b = loss_.Compute(reduced, targets);
  EXPECT_TRUE(at::allclose(a.items_3, b.items_3, 0.02, 0.01));
  b.total.backward();
  for (const at::Tensor& map : All(reduced)) EXPECT_EQ(map.grad().scalar_type(), at::kBFloat16);
}

// Operations that make the host wait for a device, by name.
std::set<std::string> g_waiting;
std::unique_ptr<at::ObserverContext> Watch(const at::RecordFunction& function) {
  static const std::set<std::string> kWaits = {"aten::item",      "aten::_local_scalar_dense",
                                               "aten::nonzero",   "aten::masked_select",
                                               "aten::unique",    "aten::bincount",
                                               "aten::is_nonzero"};
  if (kWaits.contains(function.name())) g_waiting.insert(function.name());
  return nullptr;
}

TEST_F(Loss, InTensorsNeverWaitsForTheDevice) {
  const HeadMaps maps = Leaves(Maps(2, 16));
  const Targets targets = Crowd(2, 10);
  g_waiting.clear();
  const at::CallbackHandle handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback(&Watch).scopes({at::RecordScope::FUNCTION}));
  TensorLoss(config_, maps, targets).total.backward();
  EXPECT_EQ(g_waiting, std::set<std::string>());
  maps.box[0].detach().sum().item<float>();  // the watch itself works
  at::removeCallback(handle);
  EXPECT_TRUE(g_waiting.contains("aten::item"));
}

}  // namespace
}  // namespace yoke::engine
