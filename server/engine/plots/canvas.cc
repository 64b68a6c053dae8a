#include "server/engine/plots/canvas.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "opencv2/core.hpp"
#include "opencv2/imgproc.hpp"

namespace yoke::engine {
namespace {

constexpr int kShift = 4;        // fractional bits of OpenCV's drawing coordinates
constexpr double kFar = 30'000;  // px; drawing coordinates stay within 32 bits

cv::Scalar Bgr(Colour colour) {
  return {double(colour.blue), double(colour.green), double(colour.red)};
}

cv::Point Fixed(cv::Point2d point) {
  const auto fixed = [](double value) {
    return static_cast<int>(std::lround(std::clamp(value, -kFar, kFar) * (1 << kShift)));
  };
  return {fixed(point.x), fixed(point.y)};
}

// The pieces of a line that dashes of `dash` px with gaps as long leave of it.
std::vector<std::vector<cv::Point2d>> Dashes(const std::vector<cv::Point2d>& points, double dash) {
  std::vector<std::vector<cv::Point2d>> pieces;
  double left = dash;  // of the dash or the gap
  bool drawn = true;
  if (!points.empty()) pieces.push_back({points.front()});
  for (size_t i = 1; i < points.size(); ++i) {
    cv::Point2d from = points[i - 1];
    double length = cv::norm(points[i] - from);
    while (length > left) {
      from += (points[i] - from) * (left / length);
      length -= left;
      if (drawn) {
        pieces.back().push_back(from);
      } else {
        pieces.push_back({from});
      }
      drawn = !drawn;
      left = dash;
    }
    left -= length;
    if (drawn) pieces.back().push_back(points[i]);
  }
  return pieces;
}

// Without the points of straight stretches: drawing them takes most of the time and shows nothing.
std::vector<cv::Point2d> Simplified(const std::vector<cv::Point2d>& points) {
  constexpr double kOff = 0.2;  // px
  if (points.size() < 3) return points;
  std::vector<cv::Point2d> kept = {points[0]};
  cv::Point2d way = points[1] - points[0];  // of the stretch that the last kept point begins
  for (size_t i = 1; i + 1 < points.size(); ++i) {
    const cv::Point2d reach = points[i + 1] - kept.back();
    const bool onward = way.dot(points[i + 1] - points[i]) >= 0;
    if (onward && std::abs(way.cross(reach)) <= kOff * cv::norm(way)) continue;
    kept.push_back(points[i]);
    way = points[i + 1] - points[i];
  }
  kept.push_back(points.back());
  return kept;
}

}  // namespace

Canvas::Canvas(int width, int height)
    : bgr_(std::max(height, 1), std::max(width, 1), CV_8UC3, cv::Scalar(255, 255, 255)) {}

void Canvas::Fill(const cv::Rect& rect, Colour colour) {
  const cv::Rect seen = rect & area();
  if (!seen.empty()) bgr_(seen).setTo(Bgr(colour));
}

void Canvas::Frame(const cv::Rect& rect, Colour colour, int width) {
  const int w = std::min({width, rect.width, rect.height});
  Fill({rect.x, rect.y, rect.width, w}, colour);
  Fill({rect.x, rect.y + rect.height - w, rect.width, w}, colour);
  Fill({rect.x, rect.y, w, rect.height}, colour);
  Fill({rect.x + rect.width - w, rect.y, w, rect.height}, colour);
}

void Canvas::Line(const std::vector<cv::Point2d>& points, Colour colour, double width,
                  const cv::Rect& clip, bool dotted) {
  const cv::Rect seen = clip & area();
  if (seen.empty() || points.empty()) return;
  if (dotted) {
    for (const std::vector<cv::Point2d>& piece : Dashes(points, 2 * width)) {
      Line(piece, colour, width, clip);
    }
    return;
  }
  std::vector<cv::Point> fixed;
  for (const cv::Point2d& point : Simplified(points)) {
    fixed.push_back(Fixed(point - cv::Point2d(seen.tl())));
  }
  cv::Mat target = bgr_(seen);
  cv::polylines(target, fixed, false, Bgr(colour),
                std::max(1, static_cast<int>(std::lround(width))), cv::LINE_AA, kShift);
}

void Canvas::Dot(cv::Point2d centre, double radius, Colour colour) {
  cv::circle(bgr_, Fixed(centre), static_cast<int>(radius * (1 << kShift)), Bgr(colour), cv::FILLED,
             cv::LINE_AA, kShift);
}

cv::Rect Canvas::TextBox(std::string_view text, cv::Point2d place, const TextStyle& style) const {
  int width = static_cast<int>(std::ceil(font_.Width(text, style.size)));
  int height = Font::LineHeight(style.size);
  if (style.upright) std::swap(width, height);
  return {static_cast<int>(std::lround(place.x - style.h * width)),
          static_cast<int>(std::lround(place.y - style.v * height)), width, height};
}

cv::Rect Canvas::Text(std::string_view text, cv::Point2d place, const TextStyle& style) {
  const cv::Rect box = TextBox(text, place, style);
  if (text.empty()) return box;
  layout_.texts.push_back({box, std::string(text)});
  cv::Mat coverage = font_.Coverage(text, style.size);
  if (style.upright) cv::rotate(coverage, coverage, cv::ROTATE_90_COUNTERCLOCKWISE);
  const cv::Rect place_px(box.x, box.y, coverage.cols, coverage.rows);
  const cv::Rect seen = place_px & area();
  const uint8_t ink[3] = {style.colour.blue, style.colour.green, style.colour.red};
  for (int y = seen.y; y < seen.y + seen.height; ++y) {
    const uint8_t* share = coverage.ptr(y - place_px.y) + (seen.x - place_px.x);
    uint8_t* pixel = bgr_.ptr(y) + 3 * seen.x;
    for (int x = 0; x < seen.width; ++x, ++share, pixel += 3) {
      if (*share == 0) continue;
      for (int c = 0; c < 3; ++c) {
        pixel[c] = static_cast<uint8_t>((pixel[c] * (255 - *share) + ink[c] * *share + 127) / 255);
      }
    }
  }
  return box;
}

}  // namespace yoke::engine
