// Learning rate, momentum and accumulation of every iteration, as pure functions of its number.
// Defaults are the classic recipe's.
#pragma once

#include <cstdint>

namespace yoke::engine {

struct ScheduleConfig {
  int epochs = 100;
  int64_t iterations = 1;  // per epoch and rank
  double warmup_epochs = 3, warmup_momentum = 0.8, warmup_bias_lr = 0.1;
  double lr0 = 0.01, lrf = 0.01, momentum = 0.937;
  bool cos_lr = false;
  int nbs = 64;
  int64_t batch = 16;  // images per iteration over all ranks
  // See RecipeConfig.
  int warmup_floor = 100;
  bool warmup_cap = false;
  bool lr_lag = true;
  bool accumulate_cap = false;
};

struct IterationRates {
  double target = 0;          // the rate that warm-up leads to
  double warmth = 1;          // how far it has come, from 0 to 1
  double warmup_bias_lr = 0;  // where biases begin
  double momentum = 0;
  int accumulate = 1;  // iterations per optimiser step

  // Of a group whose rate is `scale` times that of most.
  double Lr(double scale = 1) const { return scale * target * warmth; }
  double BiasLr(double scale = 1) const {
    return warmup_bias_lr + (scale * target - warmup_bias_lr) * warmth;
  }
};

class Schedule {
 public:
  explicit Schedule(const ScheduleConfig& config);

  // `epoch` from 0; `iteration` from 0 over the whole run (epoch * iterations per epoch +
  // position).
  IterationRates At(int epoch, int64_t iteration) const;

  // lr / lr0 of an epoch, from 1 to lrf.
  double Factor(int epoch) const;

  int64_t warmup_iterations() const { return warmup_; }  // -1: no warm-up
  const ScheduleConfig& config() const { return config_; }

 private:
  ScheduleConfig config_;
  int64_t warmup_;
  int accumulate_;
};

}  // namespace yoke::engine
