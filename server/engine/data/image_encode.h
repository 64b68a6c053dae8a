// Encoding of pictures that the engine makes itself.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "opencv2/core/mat.hpp"

namespace yoke::engine {

// `bgr`: CV_8UC3. Fast rather than small: for charts, whose areas are flat. InvalidArgument: an
// empty picture, or one over 65,500 px a side.
absl::StatusOr<std::string> EncodePng(const cv::Mat& bgr);

// `quality` 1 to 100; chroma at half resolution. Errors as EncodePng.
absl::StatusOr<std::string> EncodeJpeg(const cv::Mat& bgr, int quality);

}  // namespace yoke::engine
