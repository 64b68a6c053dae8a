// BatchNorm (training mode) and SiLU as one differentiable operation that keeps only its input: the
// normalised map is computed again in the backward pass. Saves two maps per layer and the time to
// write them.
#pragma once

#include "ATen/ATen.h"

namespace yoke::engine {

// x (B,C,H,W) -> silu(batch_norm(x)), updating running_mean and running_var in place as
// at::batch_norm does.
at::Tensor BatchNormSilu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         at::Tensor& running_mean, at::Tensor& running_var, double momentum,
                         double eps);

}  // namespace yoke::engine
