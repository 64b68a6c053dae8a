// The machine's own way to put rows of pixels through HSV, where there is one.
#pragma once

#include <array>
#include <cstdint>

namespace yoke::engine {

// Gains on whole HSV values in single precision: hue h becomes trunc(h * hue) + hue_shift, less 180
// from 180 on; saturation s becomes min(trunc(s * saturation), 255), and so does value.
struct HsvFactors {
  float hue = 1, saturation = 1, value = 1;
  int hue_shift = 0;
};

// Reads `count` px of four bytes (B, G, R, idle) and writes their planes; `mirrored`: from right to
// left. REQUIRES: 8 divides count.
using HsvRow = void (*)(const uint8_t* bgrx, int count, bool mirrored, const HsvFactors& factors,
                        const std::array<uint8_t*, 3>& planes_bgr);

// Null where the machine has none: then OpenCV does the work.
HsvRow FastHsvRow();

}  // namespace yoke::engine
