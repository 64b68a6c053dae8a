#include "server/engine/eval/nms.h"

#include <algorithm>
#include <numeric>

namespace yoke::engine {
namespace {

constexpr size_t kMaxCandidates = 30000;
constexpr float kClassOffset = 7680;  // px; moves the boxes of different classes apart

struct Candidate {
  float x1, y1, x2, y2;      // px, as they are
  float ox1, oy1, ox2, oy2;  // px, moved by class, rounded to float32 as the reference does
  float area;
  float confidence;
  int class_id;
};

// Candidates of one image from its (4 + K, A) predictions.
std::vector<Candidate> Collect(const at::Tensor& prediction, const NmsOptions& options) {
  const int64_t classes = prediction.size(0) - 4, anchors = prediction.size(1);
  const float* data = prediction.data_ptr<float>();
  const float threshold = static_cast<float>(options.conf);
  std::vector<char> keep(classes, options.classes.empty());
  for (int id : options.classes) {
    if (id >= 0 && id < classes) keep[id] = 1;
  }
  std::vector<Candidate> candidates;
  const auto add = [&](int64_t a, int64_t class_id, float confidence) {
    if (!keep[class_id]) return;
    const float cx = data[a], cy = data[anchors + a], half_w = data[2 * anchors + a] / 2,
                half_h = data[3 * anchors + a] / 2;
    Candidate c{cx - half_w,
                cy - half_h,
                cx + half_w,
                cy + half_h,
                0,
                0,
                0,
                0,
                0,
                confidence,
                static_cast<int>(class_id)};
    const float offset = options.agnostic ? 0 : static_cast<float>(class_id) * kClassOffset;
    c.ox1 = c.x1 + offset, c.oy1 = c.y1 + offset, c.ox2 = c.x2 + offset, c.oy2 = c.y2 + offset;
    c.area = (c.ox2 - c.ox1) * (c.oy2 - c.oy1);
    candidates.push_back(c);
  };
  if (options.multi_label && classes > 1) {
    for (int64_t k = 0; k < classes; ++k) {
      const float* scores = data + (4 + k) * anchors;
      for (int64_t a = 0; a < anchors; ++a) {
        if (scores[a] > threshold) add(a, k, scores[a]);
      }
    }
    return candidates;
  }
  std::vector<float> best(data + 4 * anchors, data + 5 * anchors);
  std::vector<int> best_class(anchors, 0);
  for (int64_t k = 1; k < classes; ++k) {
    const float* scores = data + (4 + k) * anchors;
    for (int64_t a = 0; a < anchors; ++a) {
      if (scores[a] > best[a]) best[a] = scores[a], best_class[a] = static_cast<int>(k);
    }
  }
  for (int64_t a = 0; a < anchors; ++a) {
    if (best[a] > threshold) add(a, best_class[a], best[a]);
  }
  return candidates;
}

bool Overlaps(const Candidate& a, const Candidate& b, float threshold) {
  const float w = std::min(a.ox2, b.ox2) - std::max(a.ox1, b.ox1),
              h = std::min(a.oy2, b.oy2) - std::max(a.oy1, b.oy1);
  if (w <= 0 || h <= 0) return false;
  const float intersection = w * h;
  return intersection / (a.area + b.area - intersection) > threshold;
}

std::vector<Detection> Suppress(std::vector<Candidate> candidates, const NmsOptions& options) {
  std::stable_sort(
      candidates.begin(), candidates.end(),
      [](const Candidate& a, const Candidate& b) { return a.confidence > b.confidence; });
  if (candidates.size() > kMaxCandidates) candidates.resize(kMaxCandidates);
  std::vector<const Candidate*> kept;
  const float threshold = static_cast<float>(options.iou);
  for (const Candidate& candidate : candidates) {
    if (static_cast<int>(kept.size()) >= options.max_det) break;
    const bool covered = std::any_of(kept.begin(), kept.end(), [&](const Candidate* other) {
      return Overlaps(candidate, *other, threshold);
    });
    if (!covered) kept.push_back(&candidate);
  }
  std::vector<Detection> detections;
  for (const Candidate* c : kept)
    detections.push_back({c->x1, c->y1, c->x2, c->y2, c->confidence, c->class_id});
  return detections;
}

}  // namespace

std::vector<std::vector<Detection>> NonMaxSuppression(const at::Tensor& predictions,
                                                      const NmsOptions& options) {
  const at::Tensor plain = predictions.detach().to(at::kCPU, at::kFloat).contiguous();
  std::vector<std::vector<Detection>> all;
  for (int64_t b = 0; b < plain.size(0); ++b)
    all.push_back(Suppress(Collect(plain[b], options), options));
  return all;
}

}  // namespace yoke::engine
