// Average precision of one class at one IoU threshold, and the curve it is the area of.
#pragma once

#include <vector>

namespace yoke::engine {

// The precision that is reached at a recall or beyond: falls as the recall ascends.
struct PrecisionEnvelope {
  std::vector<double> recall, precision;
};

// `recall` ascends with falling confidence, `precision` belongs to it. `classic`: the 8.1 sentinels
// (recall 1 with precision 0 at the end); else 8.4's, which add the last recall with precision 0.
PrecisionEnvelope EnvelopeOf(const std::vector<double>& recall,
                             const std::vector<double>& precision, bool classic);

// The area by trapezoids between 101 recalls.
double AveragePrecision(const PrecisionEnvelope& envelope);

// numpy.interp: linear between the points, constant beyond the last one and `left` before the
// first; `xs` ascends. 0 without points.
double Interpolate(double x, const std::vector<double>& xs, const std::vector<double>& ys,
                   double left);

}  // namespace yoke::engine
