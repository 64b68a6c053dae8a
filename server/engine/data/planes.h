// Interleaved pixels to planes.
#pragma once

#include <cstdint>

#include "opencv2/core.hpp"

namespace yoke::engine {

// Writes the three channels of `image` as consecutive planes at `out` (3 * rows * cols bytes).
inline void SplitPlanes(const cv::Mat& image, uint8_t* out) {
  const size_t plane = image.total();
  cv::Mat planes[3];
  for (int c = 0; c < 3; ++c) planes[c] = cv::Mat(image.rows, image.cols, CV_8UC1, out + static_cast<size_t>(c) * plane);
  cv::split(image, planes);
}

}  // namespace yoke::engine
