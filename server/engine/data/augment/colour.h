// The last step of augmentation: random gains on hue, saturation and value, mirroring, and the
// planes of the batch.
#pragma once

#include <array>
#include <cstdint>

#include "opencv2/core/mat.hpp"
#include "server/engine/config.h"
#include "server/engine/data/random.h"

namespace yoke::engine {

// One image's gains on 8-bit HSV as OpenCV defines it (hue 0..179).
struct HsvGains {
  double hue = 1, saturation = 1, value = 1;  // factors
  double hue_shift = 0;                       // of 180, (-180, 180)
  bool none = false;                          // pixels stay as they are
};

// As `config` allows: hue is a factor, or with hsv_additive a shift.
HsvGains DrawHsv(const AugmentConfig& config, Random& random);

// What hue, saturation and value become, truncated to whole numbers; hue wraps.
using HsvTable = std::array<std::array<uint8_t, 256>, 3>;
HsvTable TableOf(const HsvGains& gains);

struct Finish {
  HsvGains hsv;
  bool up_down = false, left_right = false;  // mirror
  bool bgr = false;                          // planes in the order B, G, R, else R, G, B
};

// Writes the three planes of `bgrx` (CV_8UC4, the fourth channel idle) to `planes`, 3 * rows * cols
// bytes, with equal pixels to OpenCV's conversion to HSV, table and conversion back.
void FinishPixels(const cv::Mat& bgrx, const Finish& finish, uint8_t* planes);

}  // namespace yoke::engine
