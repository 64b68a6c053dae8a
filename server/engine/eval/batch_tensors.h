// A loader's batch as the tensors that network and criterion take.
// Shapes: B images of the batch, H/W pixels, N ground-truth boxes of the whole batch.
#pragma once

#include "ATen/ATen.h"
#include "server/engine/data/loader.h"
#include "server/engine/loss/detection_loss.h"

namespace yoke::engine {

// (B, 3, H, W) float32 RGB in [0, 1], channels last, on `device`. Does not keep `batch`'s memory.
at::Tensor ImagesOf(const Batch& batch, at::Device device);

// The same of bytes (B, 3, H, W), which may be in pinned memory already.
at::Tensor ImagesFrom(const at::Tensor& bytes_BCHW, at::Device device);

Targets TargetsOf(const Batch& batch, at::Device device);

}  // namespace yoke::engine
