// Which class was found where which one is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/engine/eval/detection.h"

namespace yoke::engine {

// Square of `classes` + 1 sides; the last row and column are the background: found where nothing
// is, and missed.
struct ConfusionMatrix {
  int classes = 0;
  std::vector<int64_t> counts;  // [predicted * (classes + 1) + true]

  int64_t at(int predicted, int truth) const {
    return counts[static_cast<size_t>(predicted) * (static_cast<size_t>(classes) + 1) +
                  static_cast<size_t>(truth)];
  }
};

ConfusionMatrix EmptyConfusion(int classes);

// The confidence from which detections are counted: that of the validation, or 0.25 where it is the
// default 0.001, with which the matrix would show nothing but noise (8.1's rule).
double ConfusionConfidence(double conf);

// Counts one image. Detections over `conf`, the most confident first, each take the free ground
// truth of any class that they overlap most, if by more than IoU 0.45 (8.4's rule). REQUIRES: all
// class ids are below matrix.classes.
void CountImage(const std::vector<Detection>& detections, const std::vector<GroundTruth>& truths,
                double conf, ConfusionMatrix& matrix);

// The cells that are not 0, as bytes that ranks exchange.
std::string EncodeConfusion(const ConfusionMatrix& matrix);

// Adds what `bytes` hold. Internal: they are not what EncodeConfusion makes of as many classes.
absl::Status AddConfusion(const std::string& bytes, ConfusionMatrix& matrix);

}  // namespace yoke::engine
