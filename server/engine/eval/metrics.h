// Matching and average precision. Two protocols: "8.4" (greedy one-to-one in input pixels,
// tightened AP sentinel), reported as `metrics`; "8.1" as `metricsClassic`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/engine/eval/confusion_matrix.h"
#include "server/engine/eval/curves.h"
#include "server/engine/eval/detection.h"
#include "server/engine/observer.h"

namespace yoke::engine {

// What matching leaves of one detection; small, so that ranks can exchange it.
struct MatchedDetection {
  float confidence = 0;
  int32_t class_id = 0;
  uint16_t correct = 0;          // bit i: true positive at IoU 0.50 + 0.05 i, protocol 8.4
  uint16_t correct_classic = 0;  // the same, protocol 8.1
};

struct ImageResult {
  std::vector<MatchedDetection> detections;
  std::vector<int32_t> gt_classes;
};

// `scaled_*`: the same boxes in original-image px, clipped (the 8.1 protocol matches there).
ImageResult MatchImage(const std::vector<Detection>& detections,
                       const std::vector<GroundTruth>& truths,
                       const std::vector<Detection>& scaled_detections,
                       const std::vector<GroundTruth>& scaled_truths);

struct EvalResult {
  DetectionMetrics metrics;          // protocol 8.4, fitness as `modern`: mAP50-95
  DetectionMetrics metrics_classic;  // protocol 8.1, fitness 0.1 mAP50 + 0.9 mAP50-95
  std::vector<ClassMetrics> per_class;
  int64_t images = 0, instances = 0;
  Curves curves;              // protocol 8.4
  ConfusionMatrix confusion;  // counted image by image, see confusion_matrix.h
};

// Everything but the confusion matrix. Classes that no image has count nowhere.
EvalResult Evaluate(const std::vector<ImageResult>& results, const std::vector<std::string>& names);

}  // namespace yoke::engine
