// The schedule against vectors recorded from both versions of the reference.
#include "server/engine/train/schedule.h"

#include <vector>

#include "gtest/gtest.h"
#include "server/engine/train/early_stop.h"
#include "server/engine/train/optimizer.h"

namespace yoke::engine {
namespace {

// The iterations with an optimiser step among the first `count`.
std::vector<int64_t> StepsOf(const Schedule& schedule, int64_t per_epoch, int64_t count) {
  std::vector<int64_t> steps;
  int64_t last = -1;
  for (int64_t i = 0; i < count; ++i) {
    if (i - last < schedule.At(static_cast<int>(i / per_epoch), i).accumulate) continue;
    steps.push_back(last = i);
  }
  return steps;
}

ScheduleConfig ClassicConfig() {
  return {.epochs = 40, .iterations = 3, .warmup_epochs = 3, .batch = 8};
}

TEST(Schedule, ClassicEqualsRecordedVectors) {
  const Schedule schedule(ClassicConfig());
  ASSERT_EQ(schedule.warmup_iterations(), 100);
  struct Row {
    int64_t iteration;
    double bias_lr, lr, momentum;
  };
  for (const Row& row :
       {Row{1, 0.0991, 0.0001, 0.80137}, Row{27, 0.07509858, 0.00209858, 0.83699},
        Row{99, 0.00281418, 0.00181418, 0.93563}, Row{102, 0.0018325, 0.0018325, 0.937},
        Row{114, 0.0008425, 0.0008425, 0.937}}) {
    const IterationRates rates = schedule.At(static_cast<int>(row.iteration / 3), row.iteration);
    EXPECT_NEAR(rates.BiasLr(), row.bias_lr, 1e-7) << row.iteration;
    EXPECT_NEAR(rates.Lr(), row.lr, 1e-7) << row.iteration;
    EXPECT_NEAR(rates.momentum, row.momentum, 1e-6) << row.iteration;
  }
}

TEST(Schedule, ClassicStepsWhereTheReferenceDoes) {
  const std::vector<int64_t> steps = StepsOf(Schedule(ClassicConfig()), 3, 120);
  const std::vector<int64_t> begin = {0,  1,  2,  3,  4,  5,  6,  7,  9,
                                      11, 13, 15, 17, 19, 21, 24, 27, 30};
  ASSERT_EQ(steps.size(), 33u);
  EXPECT_EQ(std::vector<int64_t>(steps.begin(), steps.begin() + 18), begin);
}

TEST(Schedule, ClassicLastEpochLagsByOne) {
  EXPECT_NEAR(Schedule(ClassicConfig()).At(39, 119).Lr(), 0.000595, 1e-9);
}

TEST(Schedule, ModernEqualsRecordedVectors) {
  const Schedule schedule({.epochs = 8,
                           .iterations = 3,
                           .warmup_epochs = 2,
                           .batch = 8,
                           .warmup_floor = 0,
                           .warmup_cap = true,
                           .lr_lag = false,
                           .accumulate_cap = true});
  ASSERT_EQ(schedule.warmup_iterations(), 6);
  const std::vector<int> accumulate = {1, 2, 3, 4, 6, 7, 8};
  const std::vector<double> lr = {0,         .00166667, .00333333, .00438125,
                                  .00584167, .00730208, .007525};
  const std::vector<double> bias = {.1, .085, .07, .05438125, .039175, .02396875, .007525};
  const std::vector<double> momentum = {.8, .822833, .845667, .8685, .891333, .914167, .937};
  for (int i = 0; i < 7; ++i) {
    const IterationRates rates = schedule.At(i / 3, i);
    EXPECT_EQ(rates.accumulate, accumulate[i]) << i;
    EXPECT_NEAR(rates.Lr(), lr[i], 1e-8) << i;
    EXPECT_NEAR(rates.BiasLr(), bias[i], 1e-8) << i;
    EXPECT_NEAR(rates.momentum, momentum[i], 1e-6) << i;
  }
  EXPECT_EQ(StepsOf(schedule, 3, 24), (std::vector<int64_t>{0, 8, 16}));
}

TEST(Schedule, CosineFallsFromOneToLrf) {
  const Schedule schedule({.epochs = 10, .lrf = 0.1, .cos_lr = true});
  EXPECT_DOUBLE_EQ(schedule.Factor(0), 1);
  EXPECT_NEAR(schedule.Factor(5), 0.55, 1e-12);
  EXPECT_NEAR(schedule.Factor(10), 0.1, 1e-12);
}

TEST(Schedule, NoWarmupBeginsAtTheFullRate) {
  const Schedule schedule({.epochs = 10, .iterations = 5, .warmup_epochs = 0});
  EXPECT_DOUBLE_EQ(schedule.At(0, 0).Lr(), 0.01);
  EXPECT_EQ(schedule.At(0, 0).accumulate, 4);
}

TEST(ResolveOptimizer, ShortTrainingsGetAdamWByClassCount) {
  const OptimizerConfig config =
      ResolveOptimizer({.kind = "auto"}, "SGD", 80, 128, 16, 64, 100, {});
  EXPECT_EQ(config.kind, "AdamW");
  EXPECT_DOUBLE_EQ(config.lr0, 0.000119);
  EXPECT_DOUBLE_EQ(config.momentum, 0.9);
  EXPECT_DOUBLE_EQ(config.warmup_bias_lr, 0);
}

TEST(ResolveOptimizer, LongTrainingsGetSgd) {
  // 118,287 images in steps of 64 for 100 epochs: 184,900 steps.
  const OptimizerConfig config =
      ResolveOptimizer({.kind = "auto"}, "SGD", 80, 118287, 16, 64, 100, {});
  EXPECT_EQ(config.kind, "SGD");
  EXPECT_DOUBLE_EQ(config.lr0, 0.01);
}

TEST(ResolveOptimizer, WhatTheUserSetStays) {
  const OptimizerConfig config =
      ResolveOptimizer({.kind = "auto", .lr0 = 0.5}, "SGD", 80, 128, 16, 64, 100, {"lr0"});
  EXPECT_EQ(config.kind, "AdamW");
  EXPECT_DOUBLE_EQ(config.lr0, 0.5);
}

TEST(EarlyStop, StopsAfterPatienceEpochsWithoutABetterOne) {
  EarlyStop stop(2, /*best_on_tie=*/true);
  EXPECT_TRUE(stop.Record(1, 0.5));
  EXPECT_FALSE(stop.Record(2, 0.4));
  EXPECT_FALSE(stop.ShouldStop(2));
  EXPECT_FALSE(stop.Record(3, 0.4));
  EXPECT_TRUE(stop.ShouldStop(3));
}

TEST(EarlyStop, ATieRenewsTheBestInClassicOnly) {
  EarlyStop classic(2, true), modern(2, false);
  for (int epoch = 1; epoch <= 3; ++epoch) {
    classic.Record(epoch, 0.5);
    modern.Record(epoch, 0.5);
  }
  EXPECT_EQ(classic.best_epoch(), 3);
  EXPECT_EQ(modern.best_epoch(), 1);
  EXPECT_TRUE(modern.ShouldStop(3));
}

}  // namespace
}  // namespace yoke::engine
