#include "server/engine/data/augment/affine.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace yoke::engine {
namespace {

cv::Matx33d Translation(double x, double y) { return {1, 0, x, 0, 1, y, 0, 0, 1}; }

double Radians(double degrees) { return degrees * CV_PI / 180; }

bool Survives(const PixelBox& before, const PixelBox& after, double scale, double area_min) {
  constexpr double kSideMin = 2, kElongationMax = 100, kEpsilon = 1e-16;
  const double w1 = (before.x2 - before.x1) * scale, h1 = (before.y2 - before.y1) * scale;
  const double w2 = after.x2 - after.x1, h2 = after.y2 - after.y1;
  return w2 > kSideMin && h2 > kSideMin && w2 * h2 / (w1 * h1 + kEpsilon) > area_min &&
         std::max(w2 / (h2 + kEpsilon), h2 / (w2 + kEpsilon)) < kElongationMax;
}

PixelBox HullOfCorners(const PixelBox& box, const cv::Matx33d& m) {
  PixelBox out{box.class_id, INFINITY, INFINITY, -INFINITY, -INFINITY};
  for (const auto& [x, y] :
       {std::array{box.x1, box.y1}, {box.x2, box.y2}, {box.x1, box.y2}, {box.x2, box.y1}}) {
    const cv::Vec3d p = m * cv::Vec3d(x, y, 1);
    const auto px = static_cast<float>(p[0] / p[2]), py = static_cast<float>(p[1] / p[2]);
    out.x1 = std::min(out.x1, px), out.x2 = std::max(out.x2, px);
    out.y1 = std::min(out.y1, py), out.y2 = std::max(out.y2, py);
  }
  return out;
}

}  // namespace

Affine DrawAffine(const AugmentConfig& config, cv::Size from, cv::Size to, Random& random) {
  const double px = random.Uniform(-config.perspective, config.perspective);
  const double py = random.Uniform(-config.perspective, config.perspective);
  const double angle = random.Uniform(-config.degrees, config.degrees);
  const double scale = random.Uniform(1 - config.scale, 1 + config.scale);
  const double shear_x = random.Uniform(-config.shear, config.shear);
  const double shear_y = random.Uniform(-config.shear, config.shear);
  const double shift_x = random.Uniform(0.5 - config.translate, 0.5 + config.translate) * to.width;
  const double shift_y = random.Uniform(0.5 - config.translate, 0.5 + config.translate) * to.height;

  const cv::Matx33d centre = Translation(-from.width / 2.0, -from.height / 2.0);
  const cv::Matx33d perspective(1, 0, 0, 0, 1, 0, px, py, 1);
  const double c = scale * std::cos(Radians(angle)), s = scale * std::sin(Radians(angle));
  const cv::Matx33d rotation(c, s, 0, -s, c, 0, 0, 0, 1);
  const cv::Matx33d shear(1, std::tan(Radians(shear_x)), 0, std::tan(Radians(shear_y)), 1, 0, 0, 0,
                          1);
  return {.matrix = Translation(shift_x, shift_y) * shear * rotation * perspective * centre,
          .scale = scale,
          .perspective = config.perspective != 0};
}

void WarpLabels(const LabelledImage& in, const Affine& affine, OutlineRule rule, cv::Size to,
                LabelledImage& out) {
  thread_local std::vector<cv::Point2f> points;
  const bool outlined = !in.outlines.empty();
  const double area_min = outlined ? 0.01 : 0.1;
  out.boxes.clear();
  out.outlines.clear();
  for (size_t i = 0; i < in.boxes.size(); ++i) {
    PixelBox box;
    Outline outline;
    if (outlined) {
      outline = in.outlines[i];
      outline.warp = affine.matrix * outline.warp;
      PlacePoints(outline, rule, points);
      box = BoxOfPoints(points, rule, to, in.boxes[i].class_id);
    } else {
      box = HullOfCorners(in.boxes[i], affine.matrix);
    }
    for (float* x : {&box.x1, &box.x2}) *x = std::clamp(*x, 0.0f, static_cast<float>(to.width));
    for (float* y : {&box.y1, &box.y2}) *y = std::clamp(*y, 0.0f, static_cast<float>(to.height));
    if (!Survives(in.boxes[i], box, affine.scale, area_min)) continue;
    out.boxes.push_back(box);
    if (outlined) out.outlines.push_back(outline);
  }
}

}  // namespace yoke::engine
