// Polygons of objects: resampled, put into place, turned back into boxes, filled.
#pragma once

#include <vector>

#include "opencv2/core/mat.hpp"
#include "server/engine/data/augment/labelled_image.h"

namespace yoke::engine {

inline constexpr int kOutlinePoints = 1000;

// How a polygon is treated; the reference changed all of it at once. See
// AugmentConfig::polygon_clip.
enum class OutlineRule {
  kPointsInside,  // evenly spaced points, which may miss corners; its box is that of the points
                  // inside the image
  kCutAtEdge,     // corners are among the points; its box is that of the polygon cut at the image's
                  // edge
};

// The closed polygon as points in px where `outline` says, kOutlinePoints of them (kCutAtEdge: or
// all corners, if those are more), evenly spaced in the count of edges, not in length. Empty for an
// outline without corners.
void PlacePoints(const Outline& outline, OutlineRule rule, std::vector<cv::Point2f>& points);

// The box of a polygon in an image of `size` by `rule`; without area if nothing of it is inside.
PixelBox BoxOfPoints(const std::vector<cv::Point2f>& points, OutlineRule rule, cv::Size size,
                     int class_id);

// Sets the polygon's inside and its edge to 1, points truncated to whole pixels. REQUIRES: mask is
// CV_8UC1.
void FillPoints(const std::vector<cv::Point2f>& points, cv::Mat& mask);

}  // namespace yoke::engine
