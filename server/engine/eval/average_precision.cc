#include "server/engine/eval/average_precision.h"

#include <algorithm>

namespace yoke::engine {

PrecisionEnvelope EnvelopeOf(const std::vector<double>& recall,
                             const std::vector<double>& precision, bool classic) {
  PrecisionEnvelope envelope{{0.0}, {1.0}};
  std::vector<double>&r = envelope.recall, &p = envelope.precision;
  r.insert(r.end(), recall.begin(), recall.end());
  p.insert(p.end(), precision.begin(), precision.end());
  if (!classic && !recall.empty()) {  // nothing is gained beyond the last recall reached
    r.push_back(recall.back());
    p.push_back(0.0);
  }
  r.push_back(1.0);
  p.push_back(0.0);
  for (size_t i = p.size() - 1; i > 0; --i) p[i - 1] = std::max(p[i - 1], p[i]);
  return envelope;
}

double AveragePrecision(const PrecisionEnvelope& envelope) {
  double area = 0, previous = 0;
  for (int i = 0; i <= 100; ++i) {
    const double value =
        Interpolate(i / 100.0, envelope.recall, envelope.precision, envelope.precision.front());
    if (i > 0) area += (previous + value) / 2 / 100;
    previous = value;
  }
  return area;
}

double Interpolate(double x, const std::vector<double>& xs, const std::vector<double>& ys,
                   double left) {
  if (xs.empty()) return 0;
  if (x < xs.front()) return left;
  const auto upper = std::upper_bound(xs.begin(), xs.end(), x);
  if (upper == xs.end()) return ys.back();
  const auto i = static_cast<size_t>(upper - xs.begin());
  const double span = xs[i] - xs[i - 1];
  return span == 0 ? ys[i] : ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / span;
}

}  // namespace yoke::engine
