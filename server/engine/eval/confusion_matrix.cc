#include "server/engine/eval/confusion_matrix.h"

#include <algorithm>
#include <cstring>

#include "common/base/check.h"

namespace yoke::engine {
namespace {

constexpr double kDefaultConf = 0.001, kReadableConf = 0.25;
constexpr float kIou = 0.45f;

struct Cell {
  int64_t index, count;
};

}  // namespace

ConfusionMatrix EmptyConfusion(int classes) {
  const auto sides = static_cast<size_t>(classes) + 1;
  return {classes, std::vector<int64_t>(sides * sides, 0)};
}

double ConfusionConfidence(double conf) { return conf == kDefaultConf ? kReadableConf : conf; }

void CountImage(const std::vector<Detection>& detections, const std::vector<GroundTruth>& truths,
                double conf, ConfusionMatrix& matrix) {
  const int background = matrix.classes;
  const auto add = [&](int predicted, int truth) {
    YOKE_CHECK(predicted >= 0 && predicted <= background && truth >= 0 && truth <= background);
    ++matrix.counts[static_cast<size_t>(predicted) * (static_cast<size_t>(background) + 1) +
                    static_cast<size_t>(truth)];
  };
  std::vector<const Detection*> sorted;
  for (const Detection& detection : detections) {
    if (detection.confidence > static_cast<float>(conf)) sorted.push_back(&detection);
  }
  std::stable_sort(sorted.begin(), sorted.end(), [](const Detection* a, const Detection* b) {
    return a->confidence > b->confidence;
  });
  std::vector<char> taken(truths.size(), 0);
  for (const Detection* detection : sorted) {
    float best_iou = kIou;
    size_t best = truths.size();
    for (size_t t = 0; t < truths.size(); ++t) {
      const float iou = taken[t] ? 0 : MatchingIou(truths[t], *detection);
      if (iou > best_iou) best_iou = iou, best = t;
    }
    if (best < truths.size()) taken[best] = 1;
    add(detection->class_id, best < truths.size() ? truths[best].class_id : background);
  }
  for (size_t t = 0; t < truths.size(); ++t) {
    if (!taken[t]) add(background, truths[t].class_id);
  }
}

std::string EncodeConfusion(const ConfusionMatrix& matrix) {
  std::string bytes;
  for (size_t i = 0; i < matrix.counts.size(); ++i) {
    if (matrix.counts[i] == 0) continue;
    const Cell cell{static_cast<int64_t>(i), matrix.counts[i]};
    bytes.append(reinterpret_cast<const char*>(&cell), sizeof cell);
  }
  return bytes;
}

absl::Status AddConfusion(const std::string& bytes, ConfusionMatrix& matrix) {
  const absl::Status broken = absl::InternalError("a rank sent a broken confusion matrix");
  if (bytes.size() % sizeof(Cell) != 0) return broken;
  for (size_t at = 0; at < bytes.size(); at += sizeof(Cell)) {
    Cell cell;
    std::memcpy(&cell, bytes.data() + at, sizeof cell);
    if (cell.index < 0 || cell.index >= static_cast<int64_t>(matrix.counts.size())) return broken;
    matrix.counts[static_cast<size_t>(cell.index)] += cell.count;
  }
  return absl::OkStatus();
}

}  // namespace yoke::engine
