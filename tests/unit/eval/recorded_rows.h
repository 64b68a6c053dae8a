// The rows that make_evaluation_goldens.py gives to the reference's ap_per_class.
#pragma once

#include <vector>

#include "server/engine/eval/metrics.h"

namespace yoke::engine {

// 200 detections of three classes; objects of the first two.
inline std::vector<ImageResult> RecordedRows() {
  std::vector<ImageResult> results(1);
  for (int i = 0; i < 200; ++i) {
    const int level = i * 31 % 17;
    uint16_t correct = 0;
    for (int t = 0; t < 10; ++t) correct |= (level - 4 > t) << t;
    const auto confidence = static_cast<float>(i * 7919 % 1000 / 1000.0 + 0.0005);
    results[0].detections.push_back({confidence, i % 3, correct, correct});
  }
  results[0].gt_classes.assign(60, 0);
  results[0].gt_classes.insert(results[0].gt_classes.end(), 70, 1);
  return results;
}

}  // namespace yoke::engine
