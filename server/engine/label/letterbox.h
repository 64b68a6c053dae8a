// A photo in the network's input and back: the reference's minimal-rectangle letterbox, centred on
// grey.
#pragma once

#include <cstdint>

#include "opencv2/core/mat.hpp"
#include "server/engine/data/image.h"
#include "server/engine/eval/detection.h"

namespace yoke::engine {

struct RectFit {
  ImageSize image;        // px of the photo
  ImageSize resized;      // px of the photo inside the input
  ImageSize input;        // px of the network's input, multiples of 32
  int left = 0, top = 0;  // px of padding before the photo
};

// One scale for both sides, min(imgsz / height, imgsz / width), also upwards; then the least
// padding to multiples of 32. REQUIRES: imgsz is a multiple of 32.
RectFit FitRect(ImageSize image, int imgsz);

// Writes the input as RGB planes: 3 * input.height * input.width bytes at `rgb`.
void FillInput(const cv::Mat& bgr, const RectFit& fit, uint8_t* rgb);

// Input px -> px of the photo, clipped to it.
Detection ToPhoto(Detection detection, const RectFit& fit);

}  // namespace yoke::engine
