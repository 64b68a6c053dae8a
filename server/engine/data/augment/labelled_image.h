// What the steps of augmentation hand on: an image, its boxes and, where the data set has them,
// outlines.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "opencv2/core/mat.hpp"
#include "server/engine/data/dataset.h"

namespace yoke::engine {

// xyxy, px of the image it lies in.
struct PixelBox {
  int class_id = 0;
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;
};

// An object's polygon and where it was put. It is worked out point by point only when a step needs
// it, so an image carries no thousand points for each of its objects.
struct Outline {
  absl::Span<const float> xy_norm;  // the label's corners; the data set's memory
  float width = 0, height = 0;      // px of the image that the corners are fractions of
  float shift_x = 0, shift_y = 0;   // px, after scaling
  float limit = 0;                  // > 0: then each point is moved into [0, limit] on both axes
  bool mirrored = false;            // then x becomes mirror_x - x
  float mirror_x = 0;
  cv::Matx33d warp = cv::Matx33d::eye();  // then this
};

struct LabelledImage {
  cv::Mat pixels;  // BGR before the warp, BGR and an idle fourth channel after it
  std::vector<PixelBox> boxes;
  std::vector<Outline> outlines;  // one a box; empty: the data set has boxes only
};

void MoveBy(float dx, float dy, PixelBox& box);
void MoveBy(float dx, float dy, Outline& outline);

// The labels of `sample`, whose image is `size` now: boxes and outlines are appended.
void AppendLabels(const Sample& sample, cv::Size size, float dx, float dy, LabelledImage& out);

}  // namespace yoke::engine
