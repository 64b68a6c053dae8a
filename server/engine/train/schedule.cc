#include "server/engine/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace yoke::engine {
namespace {

// Linear from `from` at 0 to `to` at `end`.
double Ramp(double at, double end, double from, double to) {
  return end <= 0 ? to : from + (to - from) * at / end;
}

int64_t WarmupIterations(const ScheduleConfig& config) {
  const auto iterations = static_cast<double>(config.iterations);
  if (config.warmup_epochs <= 0) return -1;
  const double epochs = config.warmup_cap ? std::min(config.warmup_epochs, config.epochs - 1.0)
                                          : config.warmup_epochs;
  const double wanted = std::max<double>(std::nearbyint(epochs * iterations), config.warmup_floor);
  return wanted > 0 ? static_cast<int64_t>(wanted) : -1;
}

int AccumulateAfterWarmup(const ScheduleConfig& config) {
  const double ratio = static_cast<double>(config.nbs) / static_cast<double>(config.batch);
  double wanted = std::max(std::nearbyint(ratio), 1.0);
  if (config.accumulate_cap) {
    wanted = std::min(wanted, static_cast<double>(config.iterations * config.epochs));
  }
  return static_cast<int>(wanted);
}

}  // namespace

Schedule::Schedule(const ScheduleConfig& config)
    : config_(config),
      warmup_(WarmupIterations(config)),
      accumulate_(AccumulateAfterWarmup(config)) {}

double Schedule::Factor(int epoch) const {
  const double done = static_cast<double>(epoch) / config_.epochs;
  if (config_.cos_lr) {
    return (1 - std::cos(done * std::numbers::pi)) / 2 * (config_.lrf - 1) + 1;
  }
  return std::max(1 - done, 0.0) * (1 - config_.lrf) + config_.lrf;
}

IterationRates Schedule::At(int epoch, int64_t iteration) const {
  if (iteration > warmup_) {
    // With the lag, the epoch in which warm-up ended keeps the last value.
    const bool warm_epoch = warmup_ >= 0 && warmup_ / config_.iterations == epoch;
    const int rate_epoch = !config_.lr_lag || warm_epoch ? epoch : std::max(epoch - 1, 0);
    IterationRates rates;
    rates.target = config_.lr0 * Factor(rate_epoch);
    rates.momentum = config_.momentum;
    rates.accumulate = accumulate_;
    return rates;
  }
  const auto at = static_cast<double>(iteration), end = static_cast<double>(warmup_);
  const double ratio = static_cast<double>(config_.nbs) / static_cast<double>(config_.batch);
  const double full = config_.accumulate_cap ? accumulate_ : ratio;
  IterationRates rates;
  rates.target = config_.lr0 * Factor(epoch);
  rates.warmth = Ramp(at, end, 0, 1);
  rates.warmup_bias_lr = config_.warmup_bias_lr;
  rates.momentum = Ramp(at, end, config_.warmup_momentum, config_.momentum);
  rates.accumulate = static_cast<int>(std::max(std::nearbyint(Ramp(at, end, 1, full)), 1.0));
  return rates;
}

}  // namespace yoke::engine
