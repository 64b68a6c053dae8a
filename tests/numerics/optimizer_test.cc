// The optimisers against the reference's own: which group a parameter is in, what some steps with
// recorded gradients make of it, and what optimizer=auto stands for. make_optimizer_goldens.py says
// what is recorded.
#include "server/engine/train/optimizer.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/numerics/golden_file.h"
#include "tests/numerics/recorded_model.h"

namespace yoke::engine {
namespace {

constexpr int kSteps = 8, kSamples = 4;
constexpr double kMomentum = 0.937, kWarmupMomentum = 0.8, kWarmupBiasLr = 0.1, kDecay = 0.01;

// Values begin within 0.5 and reach 7 where a bias warms up under RMSProp, whose first quotients are
// ten. One rounding of float32 is up to 6e-8 of the value; each of the eight steps may round twice,
// in another order on another processor (3 roundings seen with AVX2, goldens by AVX-512).
constexpr double kRelative = 1e-6, kLeast = 0.5;
// A Muon step is lr * 0.2 times a matrix iterated in bfloat16, whose sums depend on their order.
// What bfloat16 rounds is recorded: the reference's own steps with its iteration in float32.
constexpr double kTimesRounding = 2;

struct Case {
  std::string era, kind;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const char* era : {"classic", "modern"}) {
    for (const char* kind : {"SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSProp"}) {
      cases.push_back({era, kind});
    }
  }
  cases.push_back({"modern", "MuSGD"});
  return cases;
}

bool IsAdaptive(const std::string& kind) { return kind != "SGD" && kind != "MuSGD"; }

IterationRates RatesAt(int step, double lr0) {
  IterationRates rates;
  rates.target = lr0;
  rates.warmth = (step + 1.0) / kSteps;
  rates.warmup_bias_lr = kWarmupBiasLr;
  rates.momentum = kWarmupMomentum + (kMomentum - kWarmupMomentum) * rates.warmth;
  return rates;
}

// Our index of a recorded one: the classic order is biases, weights, normalisation weights.
int OurGroup(const std::string& era, int recorded) {
  constexpr int kClassic[] = {2, 0, 1};
  return era == "classic" ? kClassic[recorded] : recorded;
}

class OptimizerGolden : public ::testing::TestWithParam<Case> {};

TEST_P(OptimizerGolden, GroupsAndStepsAreTheReferences) {
  at::set_num_threads(1);
  const auto& [era, kind] = GetParam();
  const auto golden = ReadGolden(absl::StrCat("optimizers_", era, ".golden"));
  const auto model = *DetectionModel::Create({'n', 3});
  model->FreezeLayers({}, false);
  FillConvolutions(*model, 1);
  std::map<std::string, at::Tensor> trained;
  for (const auto& item : model->named_parameters()) {
    if (item.value().requires_grad()) trained[item.key()] = item.value();
  }
  const at::NoGradGuard no_gradients;
  uint32_t number = 0;
  for (auto& [name, parameter] : trained) {
    const uint32_t seed = 500 + number++;
    if (parameter.dim() == 4) continue;
    parameter.copy_(RecordedUniform(seed, parameter.numel()).view(parameter.sizes()) - 0.5);
  }
  const std::vector<ParameterGroup> groups = GroupsOf(kind);
  const std::unique_ptr<FlatModel> flat = Flatten(*model, kind);
  const double lr0 = IsAdaptive(kind) ? 0.001 : 0.01;
  const auto optimizer = Optimizer::Create({kind, lr0, kMomentum, kDecay, kWarmupBiasLr}, *flat);
  ASSERT_TRUE(optimizer.ok()) << optimizer.status();
  for (int step = 0; step < kSteps; ++step) {
    uint32_t seed = 1000 * static_cast<uint32_t>(step + 1);
    for (auto& [name, parameter] : trained) {
      parameter.mutable_grad().copy_(
          (RecordedUniform(seed++, parameter.numel()).view(parameter.sizes()) - 0.5) * 0.1);
    }
    (*optimizer)->Step(RatesAt(step, lr0), {at::ones({}), at::zeros({})});
  }

  double most = 0, most_muon = 0, rounding = 0;
  for (const auto& [name, parameter] : trained) {
    const at::Tensor recorded = golden.at(absl::StrCat(kind, "/", name));
    const int group = OurGroup(era, recorded[0].item<int>());
    EXPECT_EQ(GroupOf(groups, name, parameter), group) << name;
    const ParameterGroup& rule = groups[static_cast<size_t>(group)];
    EXPECT_EQ(recorded[1].item<float>(), static_cast<float>(rule.decays ? kDecay : 0)) << name;
    EXPECT_EQ(recorded[2].item<float>(), static_cast<float>(lr0 * rule.lr_scale)) << name;
    const at::Tensor want = recorded.slice(0, 3);
    const at::Tensor error = (Sampled(parameter, kSamples) - want).abs();
    if (!rule.is_muon) {
      const double off = (error / want.abs().clamp_min(kLeast)).max().item<double>();
      most = std::max(most, off);
      EXPECT_LE(off, kRelative) << name;
      continue;
    }
    const double off = error.max().item<double>();
    const at::Tensor exact = golden.at(absl::StrCat(kind, "-float32/", name)).slice(0, 3);
    rounding = std::max(rounding, (exact - want).abs().max().item<double>());
    most_muon = std::max(most_muon, off);
  }
  EXPECT_LE(most_muon, kTimesRounding * rounding);
  EXPECT_EQ(trained.size(), 183u);
  std::printf("%s %s: off by at most %.1e of a value", era.c_str(), kind.c_str(), most);
  if (most_muon > 0) std::printf(", by Muon %.1e (bfloat16 itself %.1e)", most_muon, rounding);
  std::printf("\n");
}

INSTANTIATE_TEST_SUITE_P(Kinds, OptimizerGolden, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.era + info.param.kind; });

class AutoGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(AutoGolden, StandsForWhatTheReferenceTakes) {
  const std::string& era = GetParam();
  const std::string auto_long = era == "classic" ? "SGD" : "MuSGD";
  const at::Tensor rows = ReadGolden(absl::StrCat("optimizers_", era, ".golden")).at("auto");
  for (int64_t i = 0; i < rows.size(0); ++i) {
    const float* row = rows[i].data_ptr<float>();
    // As many images as the batch, so that an epoch is one step.
    const OptimizerConfig got =
        ResolveOptimizer({"auto", 0.02, kMomentum, kDecay, kWarmupBiasLr}, auto_long,
                         static_cast<int>(row[1]), 64, 64, 64, static_cast<int>(row[0]), {});
    EXPECT_EQ(got.kind, row[2] != 0 ? "AdamW" : auto_long) << row[0] << " steps";
    EXPECT_EQ(static_cast<float>(got.lr0), row[3]) << row[1] << " classes";
    // The momentum that SGD is built with is gone after its warm-up, which leads to `momentum`.
    EXPECT_EQ(static_cast<float>(got.momentum), row[2] != 0 ? row[4] : float{kMomentum});
    EXPECT_EQ(static_cast<float>(got.warmup_bias_lr), row[5]);
  }
}

INSTANTIATE_TEST_SUITE_P(Eras, AutoGolden, ::testing::Values("classic", "modern"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace yoke::engine
