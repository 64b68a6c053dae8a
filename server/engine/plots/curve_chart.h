// BoxPR_curve.png, BoxP_curve.png, BoxR_curve.png, BoxF1_curve.png.
#pragma once

#include "absl/types/span.h"
#include "server/engine/eval/curves.h"
#include "server/engine/plots/canvas.h"

namespace yoke::engine {

// Up to so many classes have colours and names of their own; more are thin grey lines.
inline constexpr size_t kLegendClassesMax = 20;

// Precision over recall, a thin line a class, and the mean of all: "all classes 0.607 mAP@0.5".
Figure DrawPrecisionRecall(const Curves& curves);

enum class ConfidenceCurve { kPrecision, kRecall, kF1 };
// The same over the confidence; the mean is smoothed and its highest point named: "all classes 0.58
// at 0.412".
Figure DrawOverConfidence(const Curves& curves, ConfidenceCurve which);

// The mean over classes of the lists that `of` chooses, kCurvePoints long; zeros without classes.
// Values that are not finite count as 0.
std::vector<double> MeanCurve(const Curves& curves, std::vector<float> ClassCurve::*of);
// Means over 101 points, the outermost going on over the edges: as wide as a tenth of the axis.
std::vector<double> BoxFiltered(absl::Span<const double> values);

}  // namespace yoke::engine
