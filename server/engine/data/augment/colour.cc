#include "server/engine/data/augment/colour.h"

#include <algorithm>
#include <cmath>

#include "opencv2/imgproc.hpp"
#include "server/engine/data/augment/hsv_rows.h"

namespace yoke::engine {
namespace {

constexpr int kTurn = 180;  // of an 8-bit hue

// A factor in single precision with trunc(i * factor) = steps(i) for i from 1 to `top`, or at least
// `highest` where that is steps(i) = min(floor(i * gain), highest). There is one, whatever the
// gain: it lies between the largest steps(i) / i and the smallest (steps(i) + 1) / i, which are at
// least 1 / top^2 apart; the middle is taken.
template <typename Steps>
float FactorFor(const Steps& steps, int top, int highest) {
  double low = 0, high = INFINITY;
  for (int i = 1; i <= top; ++i) {
    const double step = steps(i);
    low = std::max(low, step / i);
    if (step < highest) high = std::min(high, (step + 1) / i);
  }
  return static_cast<float>((low + high) / 2);
}

double Turned(double hue) {
  const double turned = std::fmod(hue, kTurn);
  return turned < 0 ? turned + kTurn : turned;
}

HsvFactors FactorsOf(const HsvGains& gains) {
  HsvFactors factors;
  const auto clipped = [](double gain) {
    return [gain](int i) { return std::min(std::floor(i * gain), 255.0); };
  };
  factors.saturation = FactorFor(clipped(gains.saturation), 255, 255);
  factors.value = FactorFor(clipped(gains.value), 255, 255);
  factors.hue = FactorFor([&](int i) { return std::floor(i * gains.hue); }, kTurn - 1, 2 * kTurn);
  factors.hue_shift = static_cast<int>(std::floor(Turned(gains.hue_shift)));
  return factors;
}

// Row by row where the machine has a way of its own.
bool FinishFast(const cv::Mat& bgrx, const Finish& finish,
                const std::array<uint8_t*, 3>& planes_bgr) {
  static const HsvRow row = FastHsvRow();
  if (row == nullptr || finish.hsv.none || bgrx.cols % 8 != 0) return false;
  const HsvFactors factors = FactorsOf(finish.hsv);
  for (int y = 0; y < bgrx.rows; ++y) {
    const auto to = static_cast<size_t>(finish.up_down ? bgrx.rows - 1 - y : y) *
                    static_cast<size_t>(bgrx.cols);
    row(bgrx.ptr(y), bgrx.cols, finish.left_right, factors,
        {planes_bgr[0] + to, planes_bgr[1] + to, planes_bgr[2] + to});
  }
  return true;
}

}  // namespace

HsvGains DrawHsv(const AugmentConfig& config, Random& random) {
  if (config.hsv_h == 0 && config.hsv_s == 0 && config.hsv_v == 0) return {.none = true};
  HsvGains gains;
  const double hue = random.Uniform(-1, 1) * config.hsv_h;
  (config.hsv_additive ? gains.hue_shift : gains.hue) += config.hsv_additive ? hue * kTurn : hue;
  gains.saturation += random.Uniform(-1, 1) * config.hsv_s;
  gains.value += random.Uniform(-1, 1) * config.hsv_v;
  return gains;
}

HsvTable TableOf(const HsvGains& gains) {
  HsvTable table;
  for (size_t i = 0; i < 256; ++i) {
    const auto x = static_cast<double>(i);
    table[0][i] = static_cast<uint8_t>(Turned(x * gains.hue + gains.hue_shift));
    table[1][i] = static_cast<uint8_t>(std::clamp(x * gains.saturation, 0.0, 255.0));
    table[2][i] = static_cast<uint8_t>(std::clamp(x * gains.value, 0.0, 255.0));
  }
  return table;
}

void FinishPixels(const cv::Mat& bgrx, const Finish& finish, uint8_t* planes) {
  const size_t plane = bgrx.total();
  std::array<uint8_t*, 3> planes_bgr{planes, planes + plane, planes + 2 * plane};
  if (!finish.bgr) std::swap(planes_bgr[0], planes_bgr[2]);
  if (FinishFast(bgrx, finish, planes_bgr)) return;
  cv::Mat image;
  if (finish.hsv.none) {
    cv::cvtColor(bgrx, image, cv::COLOR_BGRA2BGR);
  } else {
    const HsvTable table = TableOf(finish.hsv);
    cv::Mat lut(1, 256, CV_8UC3);
    for (int i = 0; i < 256; ++i) {
      const auto at = static_cast<size_t>(i);
      lut.at<cv::Vec3b>(i) = {table[0][at], table[1][at], table[2][at]};
    }
    cv::cvtColor(bgrx, image, cv::COLOR_BGR2HSV);
    cv::LUT(image, lut, image);
    cv::cvtColor(image, image, cv::COLOR_HSV2BGR);
  }
  if (finish.up_down || finish.left_right) {
    cv::flip(image, image, finish.up_down && finish.left_right ? -1 : finish.up_down ? 0 : 1);
  }
  cv::Mat out[3];
  for (size_t c = 0; c < 3; ++c) out[c] = cv::Mat(image.rows, image.cols, CV_8UC1, planes_bgr[c]);
  cv::split(image, out);
}

}  // namespace yoke::engine
