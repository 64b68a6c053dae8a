#include "server/engine/eval/nms.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "ATen/Parallel.h"
#include "server/engine/kernels/vector_loops.h"
#include "server/engine/model/detection_model.h"

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

// By class: is it asked for?
std::vector<char> Kept(int64_t classes, const NmsOptions& options) {
  std::vector<char> keep(classes, options.classes.empty());
  for (int id : options.classes) {
    if (id >= 0 && id < classes) keep[id] = 1;
  }
  return keep;
}

struct CentreBox {
  float cx, cy, w, h;  // px
};

Candidate CandidateAt(const CentreBox& box, float confidence, int64_t class_id,
                      const NmsOptions& options) {
  const float half_w = box.w / 2, half_h = box.h / 2;
  Candidate c{};
  c.x1 = box.cx - half_w, c.y1 = box.cy - half_h, c.x2 = box.cx + half_w, c.y2 = box.cy + half_h;
  const float offset = options.agnostic ? 0 : static_cast<float>(class_id) * kClassOffset;
  c.ox1 = c.x1 + offset, c.oy1 = c.y1 + offset, c.ox2 = c.x2 + offset, c.oy2 = c.y2 + offset;
  c.area = (c.ox2 - c.ox1) * (c.oy2 - c.oy1);
  c.confidence = confidence;
  c.class_id = static_cast<int>(class_id);
  return c;
}

// Candidates of one image from its (4 + K, A) predictions.
std::vector<Candidate> Collect(const at::Tensor& prediction, const NmsOptions& options) {
  const int64_t classes = prediction.size(0) - 4, anchors = prediction.size(1);
  const float* data = prediction.data_ptr<float>();
  const float threshold = static_cast<float>(options.conf);
  const std::vector<char> keep = Kept(classes, options);
  std::vector<Candidate> candidates;
  const auto add = [&](int64_t a, int64_t class_id, float confidence) {
    if (!keep[class_id]) return;
    const CentreBox box = {data[a], data[anchors + a], data[2 * anchors + a],
                           data[3 * anchors + a]};
    candidates.push_back(CandidateAt(box, confidence, class_id, options));
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

float SigmoidOf(float logit) { return 1 / (1 + std::exp(-logit)); }

// Below it no logit passes `conf`, however it is rounded.
float LowestLogit(double conf) {
  if (conf <= 0) return -std::numeric_limits<float>::infinity();
  if (conf >= 1) return std::numeric_limits<float>::infinity();
  return static_cast<float>(std::log(conf / (1 - conf)) - 1e-3);
}

// The expected distance of a side, in cells, from the logits of its bins.
float DistanceOf(const float* bins) {
  const float largest = *std::max_element(bins, bins + kRegMax);
  float sum = 0, weighted = 0;
  for (int r = 0; r < kRegMax; ++r) {
    const float e = std::exp(bins[r] - largest);
    sum += e;
    weighted += e * static_cast<float>(r);
  }
  return weighted / sum;
}

CentreBox BoxAt(const float* bins, int64_t x, int64_t y, int stride) {
  const float centre_x = static_cast<float>(x) + 0.5f, centre_y = static_cast<float>(y) + 0.5f;
  const float left = centre_x - DistanceOf(bins), top = centre_y - DistanceOf(bins + kRegMax);
  const float right = centre_x + DistanceOf(bins + 2 * kRegMax),
              bottom = centre_y + DistanceOf(bins + 3 * kRegMax);
  const auto scale = static_cast<float>(stride);
  return {(left + right) / 2 * scale, (top + bottom) / 2 * scale, (right - left) * scale,
          (bottom - top) * scale};
}

// Candidates of one level.
void CollectLevel(const at::Tensor& box_CHW, const at::Tensor& cls_CHW, int stride,
                  const NmsOptions& options, std::vector<Candidate>& candidates) {
  const int64_t classes = cls_CHW.size(0), height = cls_CHW.size(1), width = cls_CHW.size(2);
  const std::vector<char> keep = Kept(classes, options);
  const float lowest = LowestLogit(options.conf), threshold = static_cast<float>(options.conf);
  const auto any_above = kernels::Loops().conv.any_above;
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const float* logits =
          cls_CHW.data_ptr<float>() + y * cls_CHW.stride(1) + x * cls_CHW.stride(2);
      if (!any_above(logits, classes, lowest)) continue;
      const CentreBox box = BoxAt(
          box_CHW.data_ptr<float>() + y * box_CHW.stride(1) + x * box_CHW.stride(2), x, y, stride);
      const auto add = [&](int64_t class_id) {
        const float confidence = SigmoidOf(logits[class_id]);
        if (keep[class_id] && confidence > threshold)
          candidates.push_back(CandidateAt(box, confidence, class_id, options));
      };
      if (!options.multi_label || classes == 1) {
        add(std::max_element(logits, logits + classes) - logits);
        continue;
      }
      for (int64_t k = 0; k < classes; ++k) {
        if (logits[k] > lowest) add(k);
      }
    }
  }
}

bool Overlaps(const Candidate& a, const Candidate& b, float threshold) {
  const float w = std::min(a.ox2, b.ox2) - std::max(a.ox1, b.ox1),
              h = std::min(a.oy2, b.oy2) - std::max(a.oy1, b.oy1);
  if (w <= 0 || h <= 0) return false;
  const float intersection = w * h;
  return intersection / (a.area + b.area - intersection) > threshold;
}

std::vector<Detection> Suppress(std::vector<Candidate> candidates, const NmsOptions& options) {
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const Candidate& a, const Candidate& b) {
                     if (a.confidence != b.confidence) return a.confidence > b.confidence;
                     return options.multi_label && a.class_id < b.class_id;
                   });
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

// Of predictions (B, 4 + K, A) on a device, by image those anchors (4 + K, n) that have a class
// over `conf`, on the host: few of many.
std::vector<at::Tensor> Promising(const at::Tensor& predictions, double conf) {
  const int64_t rows = predictions.size(1);
  const at::Tensor over_BA =
      predictions.narrow(1, 4, rows - 4).amax(1).to(at::kFloat) > static_cast<float>(conf);
  const at::Tensor index = over_BA.flatten().nonzero().flatten();
  const at::Tensor found = predictions.transpose(1, 2)
                               .reshape({-1, rows})
                               .index_select(0, index)
                               .to(at::kFloat)
                               .to(at::kCPU);
  const at::Tensor counts = over_BA.sum(1).to(at::kCPU);
  std::vector<at::Tensor> images;
  int64_t first = 0;
  for (int64_t b = 0; b < counts.size(0); ++b) {
    const int64_t count = counts.data_ptr<int64_t>()[b];
    images.push_back(found.narrow(0, first, count).t().contiguous());
    first += count;
  }
  return images;
}

}  // namespace

std::vector<std::vector<Detection>> NonMaxSuppression(const at::Tensor& predictions,
                                                      const NmsOptions& options) {
  const std::vector<at::Tensor> images =
      predictions.is_cpu() ? predictions.detach().to(at::kFloat).contiguous().unbind(0)
                           : Promising(predictions.detach(), options.conf);
  std::vector<std::vector<Detection>> all(images.size());
  at::parallel_for(0, predictions.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const auto i = static_cast<size_t>(b);
      all[i] = Suppress(Collect(images[i], options), options);
    }
  });
  return all;
}

std::vector<Detection> NonMaxSuppression(const HeadMaps& maps, int64_t image,
                                         const NmsOptions& options) {
  std::vector<Candidate> candidates;
  for (size_t level = 0; level < maps.box.size(); ++level) {
    CollectLevel(maps.box[level][image], maps.cls[level][image], kLevelStrides[level], options,
                 candidates);
  }
  return Suppress(std::move(candidates), options);
}

}  // namespace yoke::engine
