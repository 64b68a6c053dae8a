// A small labelled data set made by drawing: shapes of several classes over varied backgrounds, with overlap and
// occlusion. A small network learns it from scratch on a CPU in minutes; it is what quickstart trains on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "opencv2/core/mat.hpp"
#include "server/engine/data/dataset.h"

namespace yoke::engine {

inline constexpr int kShapeClassesMax = 6;  // circle, square, triangle, star, cross, ring

struct ShapesOptions {
  std::string out;   // created; must not exist or be empty
  int train = 400;   // images
  int val = 80;      // images
  int size = 160;    // px a side
  int classes = 3;   // 1 .. kShapeClassesMax
  uint64_t seed = 0;
};

struct ShapesImage {
  cv::Mat bgr;
  std::vector<Label> labels;  // boxes of what is visible
};

// The `index`-th image of `seed`: always the same pixels and labels.
ShapesImage DrawShapes(int size, int classes, uint64_t seed, uint64_t index);

// Writes images/{train,val}/NNNNN.jpg, labels/{train,val}/NNNNN.txt and data.yaml (relative paths).
// InvalidArgument names the option at fault; AlreadyExists if `out` holds anything.
absl::Status WriteShapes(const ShapesOptions& options);

}  // namespace yoke::engine
