#include "server/engine/data/shapes/shapes.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "opencv2/imgproc.hpp"
#include "server/engine/data/random.h"

namespace yoke::engine {
namespace {

constexpr int kShapesMax = 4;          // a picture
constexpr int kPlaceTriesMax = 30;     // to place one shape
constexpr double kVisibleMin = 0.4;    // of a shape's own area
constexpr double kRadiusMin = 0.09, kRadiusMax = 0.24;  // of the picture's side
constexpr double kContrastMin = 90;    // between a shape and what lies under its centre, as a BGR distance
constexpr int kSubpixelBits = 4;

cv::Scalar RandomColor(Random& random) {
  return {random.Uniform(0, 255), random.Uniform(0, 255), random.Uniform(0, 255)};
}

cv::Mat Gradient(int size, Random& random) {
  const cv::Scalar from = RandomColor(random), to = RandomColor(random);
  const double angle = random.Uniform(0, 2 * CV_PI);
  cv::Mat image(size, size, CV_8UC3);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      const double t = std::clamp(0.5 + ((x - size / 2.0) * std::cos(angle) + (y - size / 2.0) * std::sin(angle)) / size, 0.0, 1.0);
      for (int c = 0; c < 3; ++c) image.at<cv::Vec3b>(y, x)[c] = static_cast<uint8_t>(from[c] * (1 - t) + to[c] * t);
    }
  }
  return image;
}

void AddStripes(cv::Mat& image, Random& random) {
  const cv::Scalar color = RandomColor(random);
  const double angle = random.Uniform(0, CV_PI), period = random.Uniform(0.05, 0.25) * image.cols;
  const double strength = random.Uniform(0.15, 0.4);
  for (int y = 0; y < image.rows; ++y) {
    for (int x = 0; x < image.cols; ++x) {
      const double phase = (x * std::cos(angle) + y * std::sin(angle)) / period;
      if (phase - std::floor(phase) < 0.5) continue;
      for (int c = 0; c < 3; ++c) {
        uint8_t& v = image.at<cv::Vec3b>(y, x)[c];
        v = static_cast<uint8_t>(v * (1 - strength) + color[c] * strength);
      }
    }
  }
}

void AddNoise(cv::Mat& image, double amplitude, Random& random) {
  uint8_t* at = image.data;
  for (size_t i = 0; i < image.total() * 3; ++i) {
    at[i] = static_cast<uint8_t>(std::clamp(at[i] + random.Uniform(-amplitude, amplitude), 0.0, 255.0));
  }
}

cv::Mat Background(int size, Random& random) {
  cv::Mat image = Gradient(size, random);
  if (random.Chance(0.5)) AddStripes(image, random);
  if (random.Chance(0.7)) AddNoise(image, random.Uniform(5, 30), random);
  return image;
}

struct Shape {
  int class_id = 0;
  cv::Point2d centre;
  double radius = 0, angle = 0, stretch = 1;  // stretch: of squares, along one side
};

cv::Point Fixed(double x, double y) {
  const double unit = 1 << kSubpixelBits;
  return {static_cast<int>(std::lround(x * unit)), static_cast<int>(std::lround(y * unit))};
}

// The outline in units of the radius, before the turn. Empty for round shapes.
std::vector<cv::Point2d> Outline(const Shape& shape) {
  const auto polar = [](double radius, double turn) {
    return cv::Point2d(radius * std::cos(turn), radius * std::sin(turn));
  };
  std::vector<cv::Point2d> points;
  switch (shape.class_id) {
    case 1: {
      const double a = 0.8 * shape.stretch, b = 0.8;
      points = {{-a, -b}, {a, -b}, {a, b}, {-a, b}};
      break;
    }
    case 2:
      for (int i = 0; i < 3; ++i) points.push_back(polar(1.1, 2 * CV_PI * i / 3));
      break;
    case 3:
      for (int i = 0; i < 10; ++i) points.push_back(polar(i % 2 == 0 ? 1.15 : 0.45, CV_PI * i / 5));
      break;
    case 4: {
      const double a = 1, b = 0.3;
      points = {{-b, -a}, {b, -a}, {b, -b}, {a, -b}, {a, b}, {b, b}, {b, a}, {-b, a}, {-b, b}, {-a, b}, {-a, -b}, {-b, -b}};
      break;
    }
    default: break;
  }
  return points;
}

void Paint(cv::Mat& canvas, const Shape& shape, const cv::Scalar& color, int line_type) {
  const std::vector<cv::Point2d> outline = Outline(shape);
  const int radius = static_cast<int>(std::lround(shape.radius * (1 << kSubpixelBits)));
  const cv::Point centre = Fixed(shape.centre.x, shape.centre.y);
  if (outline.empty()) {
    if (shape.class_id == 5) {
      const int thickness = std::max(2, static_cast<int>(shape.radius * 0.35));
      cv::circle(canvas, centre, radius - (thickness << (kSubpixelBits - 1)), color, thickness, line_type, kSubpixelBits);
    } else {
      cv::circle(canvas, centre, radius, color, cv::FILLED, line_type, kSubpixelBits);
    }
    return;
  }
  std::vector<cv::Point> points;
  const double c = std::cos(shape.angle) * shape.radius, s = std::sin(shape.angle) * shape.radius;
  for (const cv::Point2d& p : outline) {
    points.push_back(Fixed(shape.centre.x + p.x * c - p.y * s, shape.centre.y + p.x * s + p.y * c));
  }
  cv::fillPoly(canvas, std::vector<std::vector<cv::Point>>{points}, color, line_type, kSubpixelBits);
}

double Distance(const cv::Scalar& a, const cv::Vec3b& b) {
  return std::sqrt(std::pow(a[0] - b[0], 2) + std::pow(a[1] - b[1], 2) + std::pow(a[2] - b[2], 2));
}

// Who owns each pixel: 0 the background, i + 1 the i-th shape.
class Ownership {
 public:
  explicit Ownership(int size) : owner_(cv::Mat::zeros(size, size, CV_8UC1)) {}

  // Puts `shape` on top, unless it or one beneath it would then show less than kVisibleMin of itself.
  bool Place(const Shape& shape) {
    cv::Mat after = owner_.clone();
    // Three sides of border, so that what hangs over the edge counts as hidden.
    const int size = owner_.rows;
    cv::Mat whole = cv::Mat::zeros(3 * size, 3 * size, CV_8UC1);
    Shape moved = shape;
    moved.centre += cv::Point2d(size, size);
    Paint(whole, moved, cv::Scalar(1), cv::LINE_8);
    after.setTo(cv::Scalar(static_cast<double>(areas_.size() + 1)), whole(cv::Rect(size, size, size, size)));
    std::vector<int> areas = areas_;
    areas.push_back(cv::countNonZero(whole));
    for (size_t i = 0; i < areas.size(); ++i) {
      if (cv::countNonZero(after == static_cast<double>(i + 1)) < kVisibleMin * areas[i]) return false;
    }
    owner_ = after;
    areas_ = areas;
    return true;
  }

  cv::Rect VisibleBox(size_t index) const { return cv::boundingRect(owner_ == static_cast<double>(index + 1)); }

 private:
  cv::Mat owner_;
  std::vector<int> areas_;  // px of each whole shape
};

Shape RandomShape(int size, int classes, Random& random) {
  Shape shape;
  shape.class_id = static_cast<int>(random.Below(classes));
  shape.radius = random.Uniform(kRadiusMin, kRadiusMax) * size;
  shape.centre = {random.Uniform(0.05, 0.95) * size, random.Uniform(0.05, 0.95) * size};
  shape.angle = random.Uniform(0, 2 * CV_PI);
  shape.stretch = random.Uniform(0.7, 1.3);
  return shape;
}

}  // namespace

ShapesImage DrawShapes(int size, int classes, uint64_t seed, uint64_t index) {
  Random random(seed, 0, index);
  ShapesImage out{.bgr = Background(size, random)};
  Ownership ownership(size);
  std::vector<int> class_ids;
  const int64_t wanted = 1 + random.Below(kShapesMax);
  for (int64_t i = 0; i < wanted; ++i) {
    for (int attempt = 0; attempt < kPlaceTriesMax; ++attempt) {
      const Shape shape = RandomShape(size, classes, random);
      const cv::Scalar color = RandomColor(random);
      const auto x = static_cast<int>(shape.centre.x), y = static_cast<int>(shape.centre.y);
      if (Distance(color, out.bgr.at<cv::Vec3b>(y, x)) < kContrastMin || !ownership.Place(shape)) continue;
      Paint(out.bgr, shape, color, cv::LINE_AA);
      class_ids.push_back(shape.class_id);
      break;
    }
  }
  AddNoise(out.bgr, random.Uniform(0, 8), random);
  for (size_t i = 0; i < class_ids.size(); ++i) {
    const cv::Rect box = ownership.VisibleBox(i);
    const auto side = static_cast<float>(size);
    out.labels.push_back({.class_id = class_ids[i],
                          .x = (static_cast<float>(box.x) + static_cast<float>(box.width) / 2) / side,
                          .y = (static_cast<float>(box.y) + static_cast<float>(box.height) / 2) / side,
                          .w = static_cast<float>(box.width) / side,
                          .h = static_cast<float>(box.height) / side});
  }
  return out;
}

}  // namespace yoke::engine
