// Boxes as suppression, matching and fusion know them.
#pragma once

#include <algorithm>

namespace yoke::engine {

struct Detection {
  float x1 = 0, y1 = 0, x2 = 0,
        y2 = 0;  // px of the network's input, unclipped, if not said otherwise
  float confidence = 0;
  int class_id = 0;
};

struct GroundTruth {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;  // same pixel space as the detections
  int class_id = 0;
};

// Intersection over union as matching counts it: float32, 1e-7 px² in the denominator.
inline float MatchingIou(const GroundTruth& truth, const Detection& detection) {
  const float w =
      std::max(0.0f, std::min(truth.x2, detection.x2) - std::max(truth.x1, detection.x1));
  const float h =
      std::max(0.0f, std::min(truth.y2, detection.y2) - std::max(truth.y1, detection.y1));
  const float intersection = w * h;
  const float areas = (truth.x2 - truth.x1) * (truth.y2 - truth.y1) +
                      (detection.x2 - detection.x1) * (detection.y2 - detection.y1);
  return intersection / (areas - intersection + 1e-7f);
}

}  // namespace yoke::engine
