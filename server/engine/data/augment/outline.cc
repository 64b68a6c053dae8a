#include "server/engine/data/augment/outline.h"

#include <algorithm>
#include <cmath>

#include "opencv2/imgproc.hpp"

namespace yoke::engine {
namespace {

// `corners` is closed: its last point is its first.
void SpaceEvenly(const std::vector<cv::Point2f>& corners, std::vector<cv::Point2f>& points) {
  const size_t edges = corners.size() - 1;
  const double step = static_cast<double>(edges) / (kOutlinePoints - 1);
  size_t edge = 0;
  for (int i = 0; i < kOutlinePoints; ++i) {
    const double where = i * step;  // in edges: 1.5 is the middle of the second
    while (edge + 1 < edges && where >= static_cast<double>(edge + 1)) ++edge;
    const auto t = static_cast<float>(where - static_cast<double>(edge));
    points.push_back(corners[edge] + t * (corners[edge + 1] - corners[edge]));
  }
}

// The corners, and between them as many evenly spaced points as are left.
void SpaceAroundCorners(const std::vector<cv::Point2f>& corners, std::vector<cv::Point2f>& points) {
  const int spaced = std::max(kOutlinePoints - static_cast<int>(corners.size()), 0);
  const double step = static_cast<double>(corners.size() - 1) / std::max(spaced - 1, 1);
  int next = 0;
  for (size_t edge = 0; edge + 1 < corners.size(); ++edge) {
    points.push_back(corners[edge]);
    for (; next < spaced && next * step < static_cast<double>(edge + 1); ++next) {
      const auto t = static_cast<float>(next * step - static_cast<double>(edge));
      points.push_back(corners[edge] + t * (corners[edge + 1] - corners[edge]));
    }
  }
  points.resize(std::max<size_t>(kOutlinePoints, corners.size()), corners.back());
}

void Warp(const cv::Matx33d& warp, std::vector<cv::Point2f>& points) {
  const cv::Matx33f m = warp;
  for (cv::Point2f& p : points) {
    const float w = m(2, 0) * p.x + m(2, 1) * p.y + m(2, 2);
    p = cv::Point2f(m(0, 0) * p.x + m(0, 1) * p.y + m(0, 2),
                    m(1, 0) * p.x + m(1, 1) * p.y + m(1, 2)) /
        w;
  }
}

// Grows a box by points.
struct Hull {
  float x1 = INFINITY, y1 = INFINITY, x2 = -INFINITY, y2 = -INFINITY;
  void Add(float x, float y) {
    x1 = std::min(x1, x), x2 = std::max(x2, x);
    y1 = std::min(y1, y), y2 = std::max(y2, y);
  }
  bool empty() const { return x1 > x2; }
  PixelBox Box(int class_id) const {
    return empty() ? PixelBox{class_id} : PixelBox{class_id, x1, y1, x2, y2};
  }
};

// By the even-odd rule; points on an edge may count either way.
bool Contains(const std::vector<cv::Point2f>& polygon, cv::Point2f p) {
  bool inside = false;
  for (size_t i = 0, j = polygon.size() - 1; i < polygon.size(); j = i++) {
    const cv::Point2f a = polygon[i], b = polygon[j];
    if ((a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x)
      inside = !inside;
  }
  return inside;
}

// Where the edge a-b crosses the lines x = 0, x = width, y = 0, y = height within the image.
void AddCrossings(cv::Point2f a, cv::Point2f b, float width, float height, Hull& hull) {
  const cv::Point2f d = b - a;
  for (const float line : {0.0f, width}) {
    const float t = (line - a.x) / d.x, y = a.y + t * d.y;
    if (t >= 0 && t <= 1 && y >= 0 && y <= height) hull.Add(line, y);
  }
  for (const float line : {0.0f, height}) {
    const float t = (line - a.y) / d.y, x = a.x + t * d.x;
    if (t >= 0 && t <= 1 && x >= 0 && x <= width) hull.Add(x, line);
  }
}

}  // namespace

void PlacePoints(const Outline& outline, OutlineRule rule, std::vector<cv::Point2f>& points) {
  thread_local std::vector<cv::Point2f> corners;
  points.clear();
  corners.clear();
  for (size_t i = 0; i + 1 < outline.xy_norm.size(); i += 2) {
    corners.emplace_back(outline.xy_norm[i] * outline.width + outline.shift_x,
                         outline.xy_norm[i + 1] * outline.height + outline.shift_y);
  }
  if (corners.empty()) return;
  corners.push_back(cv::Point2f(corners.front()));
  if (rule == OutlineRule::kPointsInside) {
    SpaceEvenly(corners, points);
  } else {
    SpaceAroundCorners(corners, points);
  }
  if (outline.limit > 0) {
    for (cv::Point2f& p : points) {
      p = {std::clamp(p.x, 0.0f, outline.limit), std::clamp(p.y, 0.0f, outline.limit)};
    }
  }
  if (outline.mirrored) {
    for (cv::Point2f& p : points) p.x = outline.mirror_x - p.x;
  }
  if (outline.warp != cv::Matx33d::eye()) Warp(outline.warp, points);
}

PixelBox BoxOfPoints(const std::vector<cv::Point2f>& points, OutlineRule rule, cv::Size size,
                     int class_id) {
  const auto width = static_cast<float>(size.width), height = static_cast<float>(size.height);
  Hull all, inside;
  for (const cv::Point2f& p : points) {
    all.Add(p.x, p.y);
    if (p.x >= 0 && p.y >= 0 && p.x <= width && p.y <= height) inside.Add(p.x, p.y);
  }
  if (rule == OutlineRule::kPointsInside || all.empty()) return inside.Box(class_id);
  if (all.x1 >= 0 && all.y1 >= 0 && all.x2 <= width && all.y2 <= height) return all.Box(class_id);
  if (all.x2 < 0 || all.y2 < 0 || all.x1 > width || all.y1 > height) return PixelBox{class_id};
  for (size_t i = 0; i < points.size(); ++i) {
    AddCrossings(points[i], points[(i + 1) % points.size()], width, height, inside);
  }
  for (const cv::Point2f corner : {cv::Point2f(0, 0), {width, 0}, {0, height}, {width, height}}) {
    if (Contains(points, corner)) inside.Add(corner.x, corner.y);
  }
  return inside.Box(class_id);
}

void FillPoints(const std::vector<cv::Point2f>& points, cv::Mat& mask) {
  if (points.empty()) return;
  std::vector<cv::Point> whole;
  whole.reserve(points.size());
  for (const cv::Point2f& p : points)
    whole.emplace_back(static_cast<int>(p.x), static_cast<int>(p.y));
  cv::fillPoly(mask, whole, cv::Scalar::all(1));
}

}  // namespace yoke::engine
