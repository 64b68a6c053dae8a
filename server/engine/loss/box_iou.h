// Complete IoU of box pairs (Distance-IoU, arXiv 1911.08287), with the constants of the reference.
#pragma once

#include "ATen/ATen.h"

namespace yoke::engine {

// a, b: (..., 4) xyxy in one unit. (...) CIoU, differentiable in both; at most 1, below 0 when far
// apart.
at::Tensor CompleteIou(const at::Tensor& a_xyxy, const at::Tensor& b_xyxy);

}  // namespace yoke::engine
