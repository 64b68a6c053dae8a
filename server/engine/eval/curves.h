// What the curve plots and TensorBoard show of an evaluation: precision, recall and F1 over the confidence, and
// precision over recall, per class, at IoU 0.5.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace yoke::engine {

// Points of every axis: 0, 1/999 ... 1.
inline constexpr size_t kCurvePoints = 1000;

struct ClassCurve {
  int class_id = 0;
  std::string name;
  double ap50 = 0;
  std::vector<float> precision, recall, f1;  // over the confidence, kCurvePoints each
  std::vector<float> precision_at_recall;    // over the recall: the envelope, kCurvePoints
};

struct Curves {
  std::vector<ClassCurve> classes;  // those with ground truth, by id
  double best_f1_confidence = 0;    // where the smoothed mean F1 is highest
};

}  // namespace yoke::engine
