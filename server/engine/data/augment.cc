#include "server/engine/data/augment.h"

#include <algorithm>
#include <cmath>

#include "opencv2/imgproc.hpp"

namespace yoke::engine {
namespace {

constexpr uint8_t kPadding = 114;

cv::Matx33d Translation(double x, double y) { return {1, 0, x, 0, 1, y, 0, 0, 1}; }

double Radians(double degrees) { return degrees * CV_PI / 180; }

bool Survives(const PixelBox& before, const PixelBox& after, double scale) {
  constexpr double kSideMin = 2, kElongationMax = 100, kAreaMin = 0.1, kEpsilon = 1e-16;
  const double w1 = (before.x2 - before.x1) * scale, h1 = (before.y2 - before.y1) * scale;
  const double w2 = after.x2 - after.x1, h2 = after.y2 - after.y1;
  return w2 > kSideMin && h2 > kSideMin && w2 * h2 / (w1 * h1 + kEpsilon) > kAreaMin &&
         std::max(w2 / (h2 + kEpsilon), h2 / (w2 + kEpsilon)) < kElongationMax;
}

PixelBox Warp(const PixelBox& box, const cv::Matx33d& m, int size) {
  PixelBox out{box.class_id, INFINITY, INFINITY, -INFINITY, -INFINITY};
  for (const auto& [x, y] : {std::array{box.x1, box.y1}, {box.x2, box.y2}, {box.x1, box.y2}, {box.x2, box.y1}}) {
    const cv::Vec3d p = m * cv::Vec3d(x, y, 1);
    const auto px = static_cast<float>(p[0] / p[2]), py = static_cast<float>(p[1] / p[2]);
    out.x1 = std::min(out.x1, px), out.x2 = std::max(out.x2, px);
    out.y1 = std::min(out.y1, py), out.y2 = std::max(out.y2, py);
  }
  const auto cut = [&](float& v) { v = std::clamp(v, 0.0f, static_cast<float>(size)); };
  cut(out.x1), cut(out.y1), cut(out.x2), cut(out.y2);
  return out;
}

}  // namespace

void Mosaic(const std::array<LabelledImage, 4>& tiles, int size, Random& random, LabelledImage& canvas) {
  const int side = 2 * size;
  const int centre_y = static_cast<int>(random.Uniform(size / 2.0, 1.5 * size));
  const int centre_x = static_cast<int>(random.Uniform(size / 2.0, 1.5 * size));
  canvas.bgr.create(side, side, CV_8UC3);
  canvas.bgr.setTo(cv::Scalar::all(kPadding));
  canvas.boxes.clear();
  for (int i = 0; i < 4; ++i) {
    const cv::Mat& tile = tiles[static_cast<size_t>(i)].bgr;
    const int left = i % 2 == 0 ? centre_x - tile.cols : centre_x;
    const int top = i < 2 ? centre_y - tile.rows : centre_y;
    const cv::Rect placed = cv::Rect(left, top, tile.cols, tile.rows) & cv::Rect(0, 0, side, side);
    if (!placed.empty()) tile(placed - cv::Point(left, top)).copyTo(canvas.bgr(placed));
    for (PixelBox box : tiles[static_cast<size_t>(i)].boxes) {
      const auto limit = static_cast<float>(side);
      box.x1 = std::clamp(box.x1 + static_cast<float>(left), 0.0f, limit);
      box.x2 = std::clamp(box.x2 + static_cast<float>(left), 0.0f, limit);
      box.y1 = std::clamp(box.y1 + static_cast<float>(top), 0.0f, limit);
      box.y2 = std::clamp(box.y2 + static_cast<float>(top), 0.0f, limit);
      if ((box.x2 - box.x1) * (box.y2 - box.y1) > 0) canvas.boxes.push_back(box);
    }
  }
}

void RandomAffine(const LabelledImage& in, const AugmentConfig& config, int size, Random& random, LabelledImage& out) {
  const double px = random.Uniform(-config.perspective, config.perspective);
  const double py = random.Uniform(-config.perspective, config.perspective);
  const double angle = random.Uniform(-config.degrees, config.degrees);
  const double scale = random.Uniform(1 - config.scale, 1 + config.scale);
  const double shear_x = random.Uniform(-config.shear, config.shear);
  const double shear_y = random.Uniform(-config.shear, config.shear);
  const double shift_x = random.Uniform(0.5 - config.translate, 0.5 + config.translate) * size;
  const double shift_y = random.Uniform(0.5 - config.translate, 0.5 + config.translate) * size;

  const cv::Matx33d centre = Translation(-in.bgr.cols / 2.0, -in.bgr.rows / 2.0);
  const cv::Matx33d perspective(1, 0, 0, 0, 1, 0, px, py, 1);
  const double c = scale * std::cos(Radians(angle)), s = scale * std::sin(Radians(angle));
  const cv::Matx33d rotation(c, s, 0, -s, c, 0, 0, 0, 1);
  const cv::Matx33d shear(1, std::tan(Radians(shear_x)), 0, std::tan(Radians(shear_y)), 1, 0, 0, 0, 1);
  const cv::Matx33d m = Translation(shift_x, shift_y) * shear * rotation * perspective * centre;

  const cv::Size canvas(size, size);
  if (in.bgr.size() == canvas && m == cv::Matx33d::eye()) {
    in.bgr.copyTo(out.bgr);
  } else if (config.perspective != 0) {
    cv::warpPerspective(in.bgr, out.bgr, m, canvas, cv::INTER_LINEAR, cv::BORDER_CONSTANT, cv::Scalar::all(kPadding));
  } else {
    cv::warpAffine(in.bgr, out.bgr, m.get_minor<2, 3>(0, 0), canvas, cv::INTER_LINEAR, cv::BORDER_CONSTANT,
                   cv::Scalar::all(kPadding));
  }
  out.boxes.clear();
  for (const PixelBox& box : in.boxes) {
    const PixelBox warped = Warp(box, m, size);
    if (Survives(box, warped, scale)) out.boxes.push_back(warped);
  }
}

void MixUp(LabelledImage& first, const LabelledImage& second, Random& random) {
  const auto r = static_cast<float>(random.Beta(32));
  const size_t count = first.bgr.total() * 3;
  uint8_t* a = first.bgr.data;
  const uint8_t* b = second.bgr.data;
  for (size_t i = 0; i < count; ++i) {
    a[i] = static_cast<uint8_t>(static_cast<float>(a[i]) * r + static_cast<float>(b[i]) * (1 - r));
  }
  first.boxes.insert(first.boxes.end(), second.boxes.begin(), second.boxes.end());
}

void HsvToRgb(const cv::Mat& bgr, const AugmentConfig& config, Random& random, cv::Mat& rgb) {
  if (config.hsv_h == 0 && config.hsv_s == 0 && config.hsv_v == 0) {
    cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
    return;
  }
  const double hue = 1 + random.Uniform(-1, 1) * config.hsv_h;
  const double saturation = 1 + random.Uniform(-1, 1) * config.hsv_s;
  const double value = 1 + random.Uniform(-1, 1) * config.hsv_v;
  cv::Mat lut(1, 256, CV_8UC3);
  for (int i = 0; i < 256; ++i) {
    lut.at<cv::Vec3b>(i) = {static_cast<uint8_t>(std::fmod(i * hue, 180)),
                            static_cast<uint8_t>(std::clamp(i * saturation, 0.0, 255.0)),
                            static_cast<uint8_t>(std::clamp(i * value, 0.0, 255.0))};
  }
  cv::cvtColor(bgr, rgb, cv::COLOR_BGR2HSV);
  cv::LUT(rgb, lut, rgb);
  cv::cvtColor(rgb, rgb, cv::COLOR_HSV2RGB);
}

void RandomFlip(cv::Mat& image, std::vector<PixelBox>& boxes, const AugmentConfig& config, Random& random) {
  const bool up_down = random.Chance(config.flipud), left_right = random.Chance(config.fliplr);
  if (!up_down && !left_right) return;
  cv::flip(image, image, up_down && left_right ? -1 : up_down ? 0 : 1);
  const auto width = static_cast<float>(image.cols), height = static_cast<float>(image.rows);
  for (PixelBox& box : boxes) {
    if (up_down) box = {box.class_id, box.x1, height - box.y2, box.x2, height - box.y1};
    if (left_right) box = {box.class_id, width - box.x2, box.y1, width - box.x1, box.y2};
  }
}

}  // namespace yoke::engine
