#include "server/engine/label/letterbox.h"

#include <algorithm>
#include <cmath>

#include "opencv2/imgproc.hpp"
#include "server/engine/data/image.h"
#include "server/engine/data/planes.h"

namespace yoke::engine {
namespace {

constexpr int kStride = 32;

// Half to even, as the reference rounds.
int Round(double value) { return static_cast<int>(std::nearbyint(value)); }

}  // namespace

RectFit FitRect(ImageSize image, int imgsz) {
  RectFit fit{.image = image};
  const double scale =
      std::min(static_cast<double>(imgsz) / image.height, static_cast<double>(imgsz) / image.width);
  fit.resized = {std::max(Round(image.width * scale), 1), std::max(Round(image.height * scale), 1)};
  const int pad_x = (imgsz - fit.resized.width) % kStride;
  const int pad_y = (imgsz - fit.resized.height) % kStride;
  fit.left = Round(pad_x / 2.0 - 0.1);
  fit.top = Round(pad_y / 2.0 - 0.1);
  fit.input = {fit.resized.width + pad_x, fit.resized.height + pad_y};
  return fit;
}

void FillInput(const cv::Mat& bgr, const RectFit& fit, uint8_t* rgb) {
  cv::Mat input(fit.input.height, fit.input.width, CV_8UC3, cv::Scalar::all(kPadding));
  cv::Mat photo = input(cv::Rect(fit.left, fit.top, fit.resized.width, fit.resized.height));
  cv::Mat converted;
  cv::cvtColor(bgr, converted, cv::COLOR_BGR2RGB);
  if (converted.size() == photo.size()) {
    converted.copyTo(photo);
  } else {
    cv::resize(converted, photo, photo.size(), 0, 0, cv::INTER_LINEAR);
  }
  SplitPlanes(input, rgb);
}

Detection ToPhoto(Detection detection, const RectFit& fit) {
  const float gain_x = static_cast<float>(static_cast<double>(fit.resized.width) / fit.image.width);
  const float gain_y =
      static_cast<float>(static_cast<double>(fit.resized.height) / fit.image.height);
  const auto across = [&](float x) {
    return std::clamp((x - static_cast<float>(fit.left)) / gain_x, 0.0f,
                      static_cast<float>(fit.image.width));
  };
  const auto down = [&](float y) {
    return std::clamp((y - static_cast<float>(fit.top)) / gain_y, 0.0f,
                      static_cast<float>(fit.image.height));
  };
  detection.x1 = across(detection.x1);
  detection.x2 = across(detection.x2);
  detection.y1 = down(detection.y1);
  detection.y2 = down(detection.y2);
  return detection;
}

}  // namespace yoke::engine
