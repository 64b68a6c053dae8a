// What the head gives before it is decoded. Shapes: B batch, R = 16 DFL bins, K classes, H/W cells
// of the level.
#pragma once

#include <array>

#include "ATen/ATen.h"

namespace yoke::engine {

// Of a level's cells in the input, px.
inline constexpr int kLevelStrides[] = {8, 16, 32};

// By level.
struct HeadMaps {
  std::array<at::Tensor, 3> box;  // (B, 4 R, H, W): logits of the bins of left, top, right, bottom
  std::array<at::Tensor, 3> cls;  // (B, K, H, W): class logits
};

}  // namespace yoke::engine
