// The criterion against what the reference computed from the same predictions and ground truths:
// what the assigner decides, the three parts, the total and the gradient of every prediction.
// Tolerance: relative 1e-4.
#include <string>

#include "gtest/gtest.h"
#include "server/engine/loss/tensor_loss.h"
#include "tests/numerics/golden_file.h"

namespace yoke::engine {
namespace {

constexpr double kRelative = 1e-4;

struct Case {
  const char* name;
  const char* era;
};

class Loss : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    golden_ = ReadGolden(std::string("loss_") + GetParam().name + "_" + GetParam().era + ".golden");
    const at::Tensor config = golden_["config"];
    const auto value = [&](int i) { return config[i].item<double>(); };
    config_.class_count = static_cast<int>(value(1));
    config_.tal_floor = std::string(GetParam().era) == "modern" ? 16 : 0;
    maps_ = RecordedMaps(static_cast<uint32_t>(value(5)), static_cast<int64_t>(value(0)),
                         config_.class_count, static_cast<int64_t>(value(2)),
                         static_cast<int64_t>(value(3)), value(4));
    const at::Tensor rows = golden_["targets"];
    targets_ = PadTargets(rows.select(1, 0).to(at::kLong), rows.select(1, 1).to(at::kLong),
                          rows.narrow(1, 2, 4).contiguous(), maps_[0].size(0));
  }

  // The maps as the head gives them; gradients arrive in maps_.
  HeadMaps Head() const {
    HeadMaps head;
    for (size_t i = 0; i < 3; ++i) {
      head.box[i] = maps_[i].narrow(1, 0, 64);
      head.cls[i] = maps_[i].narrow(1, 64, config_.class_count);
    }
    return head;
  }

  void ExpectParts(const LossOutput& got) {
    for (int i = 0; i < 3; ++i) {
      const double want = golden_["items"][i].item<double>();
      EXPECT_NEAR(got.items_3[i].item<double>(), want, kRelative * std::abs(want)) << "part " << i;
    }
    const double total = golden_["total"].item<double>();
    EXPECT_NEAR(got.total.item<double>(), total, kRelative * total);
  }

  void ExpectGradients(const LossOutput& got) {
    got.total.backward();
    for (int level = 0; level < 3; ++level) {
      ASSERT_TRUE(maps_[level].grad().defined()) << "level " << level;
      EXPECT_LE(Difference(maps_[level].grad(), golden_["gradient" + std::to_string(level)]),
                kRelative)
          << "level " << level;
    }
  }

  // Largest difference, as a fraction of the largest value of what is wanted.
  static double Difference(const at::Tensor& got, const at::Tensor& want) {
    if (want.numel() == 0) return got.numel();
    return (got - want).abs().max().item<double>() /
           std::max(want.abs().max().item<double>(), 1e-12);
  }

  std::map<std::string, at::Tensor> golden_;
  LossConfig config_;
  std::vector<at::Tensor> maps_;
  Targets targets_;
};

TEST_P(Loss, AssignsAsTheReference) {
  const Assignment got = AssignTensors(config_, Head(), targets_);
  EXPECT_LE(Difference(got.target_scores_BAK, golden_["target_scores"]), kRelative);
  // Which of several points of equal, zero weight is chosen is not defined; every other one is.
  const at::Tensor weighted = golden_["target_scores"].sum(2) > 0;
  EXPECT_TRUE(at::equal(got.target_scores_BAK.sum(2) > 0, weighted));
  EXPECT_TRUE(got.foreground_BA.index({weighted}).all().item<bool>());
  EXPECT_TRUE(at::equal(got.target_gt_BA.index({weighted}),
                        golden_["target_gt"].to(at::kLong).index({weighted})));
  EXPECT_LE(
      Difference(got.target_boxes_BA4.index({weighted}), golden_["target_boxes"].index({weighted})),
      kRelative);
}

TEST_P(Loss, HasTheReferencesPartsAndGradientsOnCpus) {
  const LossOutput got = DetectionLoss(config_).Compute(Head(), targets_);
  ExpectParts(got);
  ExpectGradients(got);
}

TEST_P(Loss, HasTheReferencesPartsAndGradientsInTensors) {
  const LossOutput got = TensorLoss(config_, Head(), targets_);
  ExpectParts(got);
  ExpectGradients(got);
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const char* name :
       {"several", "one_image_empty", "all_empty", "crowd", "one_class", "tiny", "large"}) {
    for (const char* era : {"classic", "modern"}) cases.push_back({name, era});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Recorded, Loss, ::testing::ValuesIn(Cases()), [](const auto& info) {
  return std::string(info.param.name) + "_" + info.param.era;
});

// The two eras must disagree where they differ, or the switch does nothing.
TEST(LossSwitch, TheFloorOfSmallBoxesChangesTheAssignment) {
  EXPECT_GT(ReadGolden("loss_tiny_modern.golden")["target_scores"].gt(0).sum().item<int64_t>(),
            ReadGolden("loss_tiny_classic.golden")["target_scores"].gt(0).sum().item<int64_t>());
}

}  // namespace
}  // namespace yoke::engine
