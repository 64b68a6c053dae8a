// Small image files written by the tests themselves.
#pragma once

#include <memory>
#include <string>

#include "opencv2/core/mat.hpp"
#include "turbojpeg.h"

namespace yoke::engine {

// A smooth picture that differs by `seed`, so that shifts and mirrors show.
inline cv::Mat Picture(int width, int height, int seed = 0) {
  cv::Mat image(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.at<cv::Vec3b>(y, x) = {static_cast<uint8_t>(255 * x / width), static_cast<uint8_t>(255 * y / height),
                                   static_cast<uint8_t>(40 * seed + (x + y) / 4)};
    }
  }
  return image;
}

inline std::string JpegBytes(const cv::Mat& bgr, int quality = 95) {
  const std::unique_ptr<void, int (*)(tjhandle)> handle(tjInitCompress(), tjDestroy);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  tjCompress2(handle.get(), bgr.data, bgr.cols, static_cast<int>(bgr.step), bgr.rows, TJPF_BGR, &out, &size,
              TJSAMP_444, quality, 0);
  std::string bytes(reinterpret_cast<char*>(out), size);
  tjFree(out);
  return bytes;
}

}  // namespace yoke::engine
