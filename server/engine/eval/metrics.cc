// Average precision: the precision envelope, interpolated at 101 recalls, integrated by trapezoids.
// P and R are those at the confidence where the smoothed mean F1 is highest.
#include "server/engine/eval/metrics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "server/engine/eval/average_precision.h"

namespace yoke::engine {
namespace {

constexpr int kThresholds = 10;
constexpr int kConfidences = 1000;
constexpr double kEps = 1e-16;
constexpr double kSmoothing = 0.1;

struct Row {
  float confidence;
  uint16_t correct;
};

struct ClassCurves {
  std::vector<double> precision, recall;  // over kConfidences confidences, at IoU 0.5
  double ap[kThresholds] = {};
};

// numpy.interp: linear between the points, constant outside; xs ascending.
double Interpolate(double x, const std::vector<double>& xs, const std::vector<double>& ys,
                   double left) {
  if (xs.empty() || x < xs.front()) return left;
  const auto upper = std::upper_bound(xs.begin(), xs.end(), x);
  if (upper == xs.end()) return ys.back();
  const size_t i = upper - xs.begin();
  const double span = xs[i] - xs[i - 1];
  return span == 0 ? ys[i] : ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / span;
}

ClassCurves CurvesOf(std::vector<Row>& rows, int64_t truths, bool classic) {
  ClassCurves curves;
  curves.precision.assign(kConfidences, 0);
  curves.recall.assign(kConfidences, 0);
  if (rows.empty()) return curves;
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.confidence > b.confidence; });
  for (int t = 0; t < kThresholds; ++t) {
    std::vector<double> recall, precision;
    double hits = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      hits += (rows[i].correct >> t) & 1;
      recall.push_back(hits / (truths + kEps));
      precision.push_back(hits / (i + 1));
    }
    curves.ap[t] = AveragePrecision(recall, precision, classic);
    if (t > 0) continue;
    // The curves run over falling confidence; on the negated axis they ascend.
    std::vector<double> axis;
    for (const Row& row : rows) axis.push_back(-static_cast<double>(row.confidence));
    for (int c = 0; c < kConfidences; ++c) {
      const double confidence = static_cast<double>(c) / (kConfidences - 1);
      curves.recall[c] = Interpolate(-confidence, axis, recall, 0);
      curves.precision[c] = Interpolate(-confidence, axis, precision, 1);
    }
  }
  return curves;
}

// A box filter of odd width about kSmoothing of the curve, edges repeated.
std::vector<double> Smooth(const std::vector<double>& curve) {
  const int width = static_cast<int>(std::round(curve.size() * kSmoothing * 2)) / 2 + 1;
  const int half = width / 2;
  std::vector<double> smooth(curve.size());
  for (int i = 0; i < static_cast<int>(curve.size()); ++i) {
    double sum = 0;
    for (int j = -half; j <= half; ++j)
      sum += curve[std::clamp<int>(i + j, 0, static_cast<int>(curve.size()) - 1)];
    smooth[i] = sum / (2 * half + 1);
  }
  return smooth;
}

DetectionMetrics Summarise(const std::map<int, ClassCurves>& curves, bool classic,
                           std::vector<ClassMetrics>& per_class) {
  DetectionMetrics metrics;
  if (curves.empty()) return metrics;
  std::vector<double> f1(kConfidences, 0);
  for (const auto& [id, c] : curves) {
    for (int i = 0; i < kConfidences; ++i)
      f1[i] +=
          2 * c.precision[i] * c.recall[i] / (c.precision[i] + c.recall[i] + kEps) / curves.size();
  }
  const std::vector<double> smooth = Smooth(f1);
  const size_t best = std::max_element(smooth.begin(), smooth.end()) - smooth.begin();
  for (auto& one : per_class) {
    const ClassCurves& c = curves.at(one.class_id);
    one.precision = c.precision[best];
    one.recall = c.recall[best];
    one.map50 = c.ap[0];
    one.map5095 = std::accumulate(c.ap, c.ap + kThresholds, 0.0) / kThresholds;
    metrics.precision += one.precision / per_class.size();
    metrics.recall += one.recall / per_class.size();
    metrics.map50 += one.map50 / per_class.size();
    metrics.map5095 += one.map5095 / per_class.size();
  }
  metrics.fitness = classic ? 0.1 * metrics.map50 + 0.9 * metrics.map5095 : metrics.map5095;
  return metrics;
}

}  // namespace

double AveragePrecision(const std::vector<double>& recall, const std::vector<double>& precision,
                        bool classic) {
  std::vector<double> r = {0.0}, p = {1.0};
  r.insert(r.end(), recall.begin(), recall.end());
  p.insert(p.end(), precision.begin(), precision.end());
  if (!classic && !recall.empty()) {  // nothing is gained beyond the last recall reached
    r.push_back(recall.back());
    p.push_back(0.0);
  }
  r.push_back(1.0);
  p.push_back(0.0);
  for (size_t i = p.size() - 1; i > 0; --i) p[i - 1] = std::max(p[i - 1], p[i]);
  double area = 0, previous = 0;
  for (int i = 0; i <= 100; ++i) {
    const double value = Interpolate(i / 100.0, r, p, p.front());
    if (i > 0) area += (previous + value) / 2 / 100;
    previous = value;
  }
  return area;
}

EvalResult Evaluate(const std::vector<ImageResult>& results,
                    const std::vector<std::string>& names) {
  EvalResult out;
  out.images = static_cast<int64_t>(results.size());
  std::map<int, ClassMetrics> classes;
  for (const ImageResult& image : results) {
    std::map<int, bool> seen;
    for (int32_t id : image.gt_classes) {
      ClassMetrics& one = classes[id];
      ++one.instances;
      ++out.instances;
      if (!seen[id]) ++one.images;
      seen[id] = true;
    }
  }
  std::map<int, std::vector<Row>> rows, classic_rows;
  for (const ImageResult& image : results) {
    for (const MatchedDetection& detection : image.detections) {
      if (!classes.contains(detection.class_id))
        continue;  // a class without ground truth counts nowhere
      rows[detection.class_id].push_back({detection.confidence, detection.correct});
      classic_rows[detection.class_id].push_back({detection.confidence, detection.correct_classic});
    }
  }
  std::map<int, ClassCurves> curves, classic_curves;
  for (auto& [id, one] : classes) {
    one.class_id = id;
    one.name = id >= 0 && id < static_cast<int>(names.size()) ? names[id] : std::to_string(id);
    out.per_class.push_back(one);
    curves[id] = CurvesOf(rows[id], one.instances, false);
    classic_curves[id] = CurvesOf(classic_rows[id], one.instances, true);
  }
  std::vector<ClassMetrics> classic_classes = out.per_class;
  out.metrics = Summarise(curves, false, out.per_class);
  out.metrics_classic = Summarise(classic_curves, true, classic_classes);
  return out;
}

}  // namespace yoke::engine
