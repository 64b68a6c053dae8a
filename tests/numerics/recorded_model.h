// A model as the scripts that record trainings begin it, and what they keep of a tensor.
#pragma once

#include <cstdint>
#include <string>

#include "ATen/ATen.h"
#include "server/engine/model/detection_model.h"

namespace yoke::engine {

// goldens.py's fill_convolutions: every convolution's weights, in the order of the names.
void FillConvolutions(DetectionModel& model, uint32_t first_seed);

// `count` values at i * n / count, all if there are fewer: (min(count, n)) float32.
at::Tensor Sampled(const at::Tensor& tensor, int64_t count);

}  // namespace yoke::engine
