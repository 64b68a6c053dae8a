#include "server/engine/data/rect_shape.h"

#include <cmath>

namespace yoke::engine {
namespace {

constexpr int kStrideMax = 32;

}  // namespace

double AspectOf(const Sample& sample) { return static_cast<double>(sample.height) / sample.width; }

cv::Size RectShape(double low, double high, int imgsz, double pad) {
  double height = 1, width = 1;
  if (high < 1) {
    height = high;
  } else if (low > 1) {
    width = 1 / low;
  }
  const auto side = [&](double fraction) {
    return static_cast<int>(std::ceil(fraction * imgsz / kStrideMax + pad)) * kStrideMax;
  };
  return {side(width), side(height)};
}

}  // namespace yoke::engine
