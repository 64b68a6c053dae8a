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
constexpr double kEps = 1e-16;
constexpr double kSmoothing = 0.1;

struct Row {
  float confidence;
  uint16_t correct;
};

// At IoU 0.5, kCurvePoints each.
struct ClassResult {
  std::vector<double> precision, recall;    // over the confidence
  std::vector<double> precision_at_recall;  // over the recall
  double ap[kThresholds] = {};
};

double Axis(size_t point) {
  return static_cast<double>(point) / static_cast<double>(kCurvePoints - 1);
}

ClassResult Measure(std::vector<Row>& rows, int64_t truths, bool classic) {
  ClassResult result;
  result.precision.assign(kCurvePoints, 0);
  result.recall.assign(kCurvePoints, 0);
  result.precision_at_recall.assign(kCurvePoints, 0);
  if (rows.empty()) return result;
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
    const PrecisionEnvelope envelope = EnvelopeOf(recall, precision, classic);
    result.ap[t] = AveragePrecision(envelope);
    if (t > 0) continue;
    // The curves run over falling confidence; on the negated axis they ascend.
    std::vector<double> axis;
    for (const Row& row : rows) axis.push_back(-static_cast<double>(row.confidence));
    for (size_t i = 0; i < kCurvePoints; ++i) {
      result.recall[i] = Interpolate(-Axis(i), axis, recall, 0);
      result.precision[i] = Interpolate(-Axis(i), axis, precision, 1);
      result.precision_at_recall[i] =
          Interpolate(Axis(i), envelope.recall, envelope.precision, envelope.precision.front());
    }
  }
  return result;
}

double F1(const ClassResult& result, size_t point) {
  const double p = result.precision[point], r = result.recall[point];
  return 2 * p * r / (p + r + kEps);
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

// The point where the smoothed mean F1 of the classes is highest.
size_t BestPoint(const std::map<int, ClassResult>& results) {
  std::vector<double> f1(kCurvePoints, 0);
  for (const auto& [id, result] : results) {
    for (size_t i = 0; i < kCurvePoints; ++i)
      f1[i] += F1(result, i) / static_cast<double>(results.size());
  }
  const std::vector<double> smooth = Smooth(f1);
  return static_cast<size_t>(std::max_element(smooth.begin(), smooth.end()) - smooth.begin());
}

DetectionMetrics Summarise(const std::map<int, ClassResult>& results, bool classic,
                           std::vector<ClassMetrics>& per_class) {
  DetectionMetrics metrics;
  if (results.empty()) return metrics;
  const size_t best = BestPoint(results);
  const auto count = static_cast<double>(per_class.size());
  for (auto& one : per_class) {
    const ClassResult& result = results.at(one.class_id);
    one.precision = result.precision[best];
    one.recall = result.recall[best];
    one.map50 = result.ap[0];
    one.map5095 = std::accumulate(result.ap, result.ap + kThresholds, 0.0) / kThresholds;
    metrics.precision += one.precision / count;
    metrics.recall += one.recall / count;
    metrics.map50 += one.map50 / count;
    metrics.map5095 += one.map5095 / count;
  }
  metrics.fitness = classic ? 0.1 * metrics.map50 + 0.9 * metrics.map5095 : metrics.map5095;
  return metrics;
}

Curves CurvesOf(const std::map<int, ClassResult>& results,
                const std::vector<ClassMetrics>& per_class) {
  Curves curves;
  if (results.empty()) return curves;
  curves.best_f1_confidence = Axis(BestPoint(results));
  for (const ClassMetrics& one : per_class) {
    const ClassResult& result = results.at(one.class_id);
    ClassCurve curve{one.class_id, one.name, result.ap[0]};
    curve.precision.assign(result.precision.begin(), result.precision.end());
    curve.recall.assign(result.recall.begin(), result.recall.end());
    curve.precision_at_recall.assign(result.precision_at_recall.begin(),
                                     result.precision_at_recall.end());
    for (size_t i = 0; i < kCurvePoints; ++i) curve.f1.push_back(static_cast<float>(F1(result, i)));
    curves.classes.push_back(std::move(curve));
  }
  return curves;
}

}  // namespace

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
  std::map<int, ClassResult> measured, classic_measured;
  for (auto& [id, one] : classes) {
    one.class_id = id;
    one.name = id >= 0 && id < static_cast<int>(names.size()) ? names[id] : std::to_string(id);
    out.per_class.push_back(one);
    measured[id] = Measure(rows[id], one.instances, false);
    classic_measured[id] = Measure(classic_rows[id], one.instances, true);
  }
  std::vector<ClassMetrics> classic_classes = out.per_class;
  out.metrics = Summarise(measured, false, out.per_class);
  out.metrics_classic = Summarise(classic_measured, true, classic_classes);
  out.curves = CurvesOf(measured, out.per_class);
  return out;
}

}  // namespace yoke::engine
