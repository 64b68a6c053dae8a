// Which detections are true positives, at ten IoU thresholds, under both protocols.
#include <algorithm>

#include "server/engine/eval/metrics.h"

namespace yoke::engine {
namespace {

constexpr int kThresholds = 10;
// As numpy's linspace(0.5, 0.95, 10) in float32.
float Threshold(int i) { return static_cast<float>(0.5 + 0.05 * i); }

struct Pair {
  int truth, detection;
  float iou;
};

std::vector<Pair> Pairs(const std::vector<Detection>& detections,
                        const std::vector<GroundTruth>& truths) {
  std::vector<Pair> pairs;
  for (size_t t = 0; t < truths.size(); ++t) {
    for (size_t d = 0; d < detections.size(); ++d) {
      if (truths[t].class_id != detections[d].class_id) continue;
      const float iou = MatchingIou(truths[t], detections[d]);
      if (iou >= Threshold(0)) pairs.push_back({static_cast<int>(t), static_cast<int>(d), iou});
    }
  }
  return pairs;
}

// 8.4: detections by confidence take the best ground truth that nobody has taken.
void MatchGreedy(const std::vector<Detection>& detections, const std::vector<GroundTruth>& truths,
                 ImageResult& result) {
  std::vector<Pair> pairs = Pairs(detections, truths);
  std::stable_sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) {
    return a.detection != b.detection ? a.detection < b.detection : a.iou > b.iou;
  });
  for (int i = 0; i < kThresholds; ++i) {
    std::vector<char> taken(truths.size(), 0), used(detections.size(), 0);
    for (const Pair& pair : pairs) {
      if (pair.iou < Threshold(i) || taken[pair.truth] || used[pair.detection]) continue;
      taken[pair.truth] = used[pair.detection] = 1;
      result.detections[pair.detection].correct |= 1 << i;
    }
  }
}

// 8.1: each detection claims its best ground truth; of several claims the most confident
// detection's stands.
void MatchClassic(const std::vector<Detection>& detections, const std::vector<GroundTruth>& truths,
                  ImageResult& result) {
  std::vector<Pair> pairs = Pairs(detections, truths);
  std::stable_sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) {
    return a.detection != b.detection ? a.detection < b.detection : a.iou > b.iou;
  });
  for (int i = 0; i < kThresholds; ++i) {
    std::vector<char> taken(truths.size(), 0);
    int last_detection = -1;
    for (const Pair& pair : pairs) {
      if (pair.iou < Threshold(i) || pair.detection == last_detection) continue;
      last_detection = pair.detection;  // its best one, whether or not it is still free
      if (taken[pair.truth]) continue;
      taken[pair.truth] = 1;
      result.detections[pair.detection].correct_classic |= 1 << i;
    }
  }
}

}  // namespace

ImageResult MatchImage(const std::vector<Detection>& detections,
                       const std::vector<GroundTruth>& truths,
                       const std::vector<Detection>& scaled_detections,
                       const std::vector<GroundTruth>& scaled_truths) {
  ImageResult result;
  for (const Detection& detection : detections)
    result.detections.push_back({detection.confidence, detection.class_id, 0, 0});
  for (const GroundTruth& truth : truths) result.gt_classes.push_back(truth.class_id);
  MatchGreedy(detections, truths, result);
  MatchClassic(scaled_detections, scaled_truths, result);
  return result;
}

}  // namespace yoke::engine
