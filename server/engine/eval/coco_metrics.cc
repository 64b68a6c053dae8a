// Follows the protocol, not the code, of pycocotools 2.0: per image and class detections are
// matched within each range of areas; per class they are then sorted by score over all images.
#include "server/engine/eval/coco_metrics.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <utility>

namespace yoke::engine {
namespace {

constexpr size_t kThresholds = 10, kRecalls = 101, kAreas = 4;
constexpr size_t kDetectionsMax = 100;  // per image and class
constexpr double kIouMax = 1 - 1e-10;
// All, small, medium, large.
constexpr std::pair<double, double> kAreaRanges[kAreas] = {
    {0, 1e10}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e10}};

// The thresholds as numpy.linspace computes them.
double Threshold(size_t i) {
  return i + 1 == kThresholds ? 0.95
                              : 0.5 + static_cast<double>(i) * ((0.95 - 0.5) / (kThresholds - 1));
}

double RecallPoint(size_t i) {
  return i + 1 == kRecalls ? 1 : static_cast<double>(i) * (1.0 / (kRecalls - 1));
}

bool Outside(double area, size_t range) {
  return area < kAreaRanges[range].first || area > kAreaRanges[range].second;
}

double Iou(const CocoBox& a, const CocoBox& b) {
  const double w = std::min(a.x + a.w, b.x + b.w) - std::max(a.x, b.x);
  const double h = std::min(a.y + a.h, b.y + b.h) - std::max(a.y, b.y);
  if (w <= 0 || h <= 0) return 0;
  const double intersection = w * h;
  return intersection / (a.area() + b.area() - intersection);
}

// What matching leaves of a detection; bit t of a mask is IoU threshold t.
struct Entry {
  double score = 0;
  size_t rank = 0;  // among its class in its image
  std::array<uint16_t, kAreas> matched{}, ignored{};
};

struct ClassEntries {
  std::vector<Entry> entries;               // by image, then by falling score
  std::array<int64_t, kAreas> truths = {};  // that count
};

// One class of one image.
struct Pair {
  std::vector<const CocoBox*> truths;
  std::vector<const CocoDetection*> detections;
};

// Matches within one range of areas. A detection takes the free truth that it overlaps most (of
// equal ones the last); truths outside the range are taken only for want of others, and then
// neither the detection counts, nor one outside the range that finds none.
void Match(const Pair& pair, size_t range, std::vector<Entry>& entries) {
  std::vector<const CocoBox*> truths = pair.truths;
  const auto counting = std::stable_partition(
      truths.begin(), truths.end(), [&](const CocoBox* t) { return !Outside(t->area(), range); });
  const auto count = static_cast<size_t>(counting - truths.begin());
  std::vector<double> ious(truths.size());
  std::vector<uint16_t> taken(truths.size(), 0);
  for (size_t d = 0; d < entries.size(); ++d) {
    const CocoBox& box = pair.detections[d]->box;
    for (size_t g = 0; g < truths.size(); ++g) ious[g] = Iou(box, *truths[g]);
    for (size_t t = 0; t < kThresholds; ++t) {
      const auto bit = static_cast<uint16_t>(1u << t);
      double best_iou = std::min(Threshold(t), kIouMax);
      size_t best = truths.size();
      for (size_t g = 0; g < truths.size(); ++g) {
        if (g == count && best < count) break;
        if ((taken[g] & bit) != 0 || ious[g] < best_iou) continue;
        best_iou = ious[g];
        best = g;
      }
      if (best < truths.size()) {
        taken[best] |= bit;
        entries[d].matched[range] |= bit;
      }
      const bool ignored = best < truths.size() ? best >= count : Outside(box.area(), range);
      if (ignored) entries[d].ignored[range] |= bit;
    }
  }
}

void AddImage(const CocoImage& image, std::map<int32_t, ClassEntries>& classes) {
  std::map<int32_t, Pair> pairs;
  for (const CocoBox& truth : image.truths) pairs[truth.class_id].truths.push_back(&truth);
  for (const CocoDetection& d : image.detections) pairs[d.box.class_id].detections.push_back(&d);
  for (auto& [class_id, pair] : pairs) {
    std::vector<const CocoDetection*>& detections = pair.detections;
    std::stable_sort(
        detections.begin(), detections.end(),
        [](const CocoDetection* a, const CocoDetection* b) { return a->score > b->score; });
    if (detections.size() > kDetectionsMax) detections.resize(kDetectionsMax);
    std::vector<Entry> entries(detections.size());
    for (size_t d = 0; d < entries.size(); ++d) {
      entries[d].score = detections[d]->score;
      entries[d].rank = d;
    }
    ClassEntries& all = classes[class_id];
    for (size_t range = 0; range < kAreas; ++range) {
      Match(pair, range, entries);
      for (const CocoBox* truth : pair.truths) all.truths[range] += !Outside(truth->area(), range);
    }
    all.entries.insert(all.entries.end(), entries.begin(), entries.end());
  }
}

// Sum over the recall points of the precision reached there, at one threshold. REQUIRES: sorted by
// score, and truths that count.
double PrecisionSum(const ClassEntries& one, size_t range, size_t threshold) {
  std::vector<double> recall, precision;
  double hits = 0, misses = 0;
  for (const Entry& entry : one.entries) {
    if ((entry.ignored[range] >> threshold & 1) == 0)
      (entry.matched[range] >> threshold & 1 ? hits : misses) += 1;
    recall.push_back(hits / static_cast<double>(one.truths[range]));
    precision.push_back(hits / (hits + misses + std::numeric_limits<double>::epsilon()));
  }
  for (size_t i = precision.size(); i > 1; --i)
    precision[i - 2] = std::max(precision[i - 2], precision[i - 1]);
  double sum = 0;
  for (size_t i = 0; i < kRecalls; ++i) {
    const auto reached = std::lower_bound(recall.begin(), recall.end(), RecallPoint(i));
    if (reached == recall.end()) break;
    sum += precision[static_cast<size_t>(reached - recall.begin())];
  }
  return sum;
}

// Recall with the `most` best detections of each image, at one threshold.
double RecallOf(const ClassEntries& one, size_t range, size_t threshold, size_t most) {
  int64_t hits = 0;
  for (const Entry& entry : one.entries) {
    hits += entry.rank < most && (entry.matched[range] >> threshold & 1) != 0 &&
            (entry.ignored[range] >> threshold & 1) == 0;
  }
  return static_cast<double>(hits) / static_cast<double>(one.truths[range]);
}

class Means {
 public:
  explicit Means(const std::map<int32_t, ClassEntries>& classes) : classes_(classes) {}

  double Precision(size_t range, size_t from = 0, size_t to = kThresholds) const {
    return Mean(range, from, to, [&](const ClassEntries& one, size_t t) {
      return PrecisionSum(one, range, t) / kRecalls;
    });
  }
  double Recall(size_t range, size_t most) const {
    return Mean(range, 0, kThresholds,
                [&](const ClassEntries& one, size_t t) { return RecallOf(one, range, t, most); });
  }

 private:
  template <typename F>
  double Mean(size_t range, size_t from, size_t to, F value) const {
    double sum = 0;
    size_t count = 0;
    for (const auto& [class_id, one] : classes_) {
      if (one.truths[range] == 0) continue;
      for (size_t t = from; t < to; ++t, ++count) sum += value(one, t);
    }
    return count == 0 ? -1 : sum / static_cast<double>(count);
  }

  const std::map<int32_t, ClassEntries>& classes_;
};

}  // namespace

CocoMetrics EvaluateCoco(const std::vector<CocoImage>& images) {
  std::map<int32_t, ClassEntries> classes;
  for (const CocoImage& image : images) AddImage(image, classes);
  for (auto& [class_id, one] : classes) {
    std::stable_sort(one.entries.begin(), one.entries.end(),
                     [](const Entry& a, const Entry& b) { return a.score > b.score; });
  }
  const Means means(classes);
  CocoMetrics m;
  m.ap = means.Precision(0);
  m.ap50 = means.Precision(0, 0, 1);
  m.ap75 = means.Precision(0, 5, 6);
  m.ap_small = means.Precision(1);
  m.ap_medium = means.Precision(2);
  m.ap_large = means.Precision(3);
  m.ar1 = means.Recall(0, 1);
  m.ar10 = means.Recall(0, 10);
  m.ar100 = means.Recall(0, 100);
  m.ar_small = means.Recall(1, kDetectionsMax);
  m.ar_medium = means.Recall(2, kDetectionsMax);
  m.ar_large = means.Recall(3, kDetectionsMax);
  return m;
}

}  // namespace yoke::engine
