// BatchNorm (training mode) and SiLU as one differentiable operation that keeps only its input: the
// normalised map is computed again in the backward pass. Saves two maps per layer and the time to
// write them.
#pragma once

#include "ATen/ATen.h"

namespace yoke::engine {

// Adds up what several ranks know of a layer, so that they normalise alike (synchronised
// BatchNorm).
class StatisticsExchange {
 public:
  virtual ~StatisticsExchange() = default;
  // The sum over ranks, in place. `sums`: float64 of one dimension. Throws c10::Error.
  virtual void Sum(at::Tensor& sums) = 0;
};

struct BatchNormState {
  at::Tensor running_mean, running_var;  // (C) float32, updated in place
  double momentum = 0, eps = 0;
  StatisticsExchange* exchange = nullptr;  // null: the statistics of this rank alone
};

// x (B,C,H,W) -> silu(batch_norm(x)), the running statistics moved as at::batch_norm moves them
// (the variance unbiased). weight, bias: (C) float32. On CPUs by kernels/bn_silu.h, on other
// devices by LibTorch.
at::Tensor BatchNormSilu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         const BatchNormState& state);

// The same in plain tensor operations, on any device: what synchronised BatchNorm is on devices.
at::Tensor BatchNormSiluInTensors(const at::Tensor& x, const at::Tensor& weight,
                                  const at::Tensor& bias, const BatchNormState& state);

}  // namespace yoke::engine
