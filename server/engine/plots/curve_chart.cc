#include "server/engine/plots/curve_chart.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "server/engine/plots/axes.h"
#include "server/engine/plots/class_name.h"

namespace yoke::engine {
namespace {

constexpr int kWidth = 1800, kHeight = 1200;  // px
constexpr double kTitleSize = 40, kLabelSize = 36, kTickSize = 30, kLegendSize = 28;
constexpr int kLeft = 140, kTop = 84, kBottom = 124, kRight = 30;
constexpr int kLegendMax = 620, kLegendGap = 34, kSample = 60;
constexpr double kThin = 2, kThick = 7;
constexpr Colour kFaint{172, 178, 186};
constexpr int kHalfBox = 50;  // points of the filter on each side

// "NAME FIGURE"; a name that is too long is cut, a figure never.
struct LegendText {
  std::string name, figure;
};
struct LegendLine {
  Stroke stroke;
  LegendText text;
};

struct Chart {
  std::string title, x_label, y_label;
  std::vector<std::vector<double>> classes;  // one line each
  std::vector<LegendText> class_texts;
  std::vector<double> all;
  LegendText all_text;
};

std::vector<double> CurveAxis() {
  std::vector<double> axis(kCurvePoints);
  for (size_t i = 0; i < kCurvePoints; ++i) axis[i] = static_cast<double>(i) / (kCurvePoints - 1);
  return axis;
}

void DrawLegend(Canvas& canvas, const std::vector<LegendLine>& lines, cv::Point corner, int width) {
  const int line = Font::LineHeight(kLegendSize) + 6, pad = 14;
  const cv::Rect box(corner.x, corner.y, width, static_cast<int>(lines.size()) * line + 2 * pad);
  canvas.Frame(box, kPale, 2);
  for (size_t i = 0; i < lines.size(); ++i) {
    const double y = box.y + pad + (static_cast<double>(i) + 0.5) * line, x = box.x + pad;
    canvas.Line({{x, y}, {x + kSample, y}}, lines[i].stroke.colour,
                std::max(lines[i].stroke.width, 4.0), box);
    const double room = box.width - kSample - 3 * pad;
    const LegendText& text = lines[i].text;
    const double taken = canvas.font().Width(text.figure, kLegendSize);
    canvas.Text(canvas.font().Elided(text.name, kLegendSize, room - taken) + text.figure,
                {x + kSample + pad, y}, {.size = kLegendSize, .v = 0.5});
  }
}

Figure Draw(const Chart& chart) {
  Canvas canvas(kWidth, kHeight);
  std::vector<LegendLine> legend;
  const bool named = chart.classes.size() <= kLegendClassesMax;
  const auto stroke_of = [&](size_t i) {
    return Stroke{.colour = named ? ClassColour(static_cast<int64_t>(i)) : kFaint,
                  .width = named ? 3 : kThin};
  };
  for (size_t i = 0; named && i < chart.classes.size(); ++i)
    legend.push_back({stroke_of(i), chart.class_texts[i]});
  const Stroke thick{.colour = named ? kInk : kBlue, .width = kThick};
  legend.push_back({thick, chart.all_text});
  double text_width = 0;
  for (const LegendLine& line : legend) {
    text_width =
        std::max(text_width, canvas.font().Width(line.text.name + line.text.figure, kLegendSize));
  }
  const int legend_width = std::min(static_cast<int>(text_width) + kSample + 44, kLegendMax);

  const cv::Rect frame(kLeft, kTop, kWidth - kLeft - kLegendGap - legend_width - kRight,
                       kHeight - kTop - kBottom);
  Axes axes(canvas, frame, {0, 1}, {0, 1});
  const std::vector<Tick> ticks = RoundTicks({0, 1}, 6);
  axes.DrawTicks(ticks, ticks, kTickSize);
  axes.DrawTitle(chart.title, kTitleSize, 0);
  canvas.Text(chart.x_label, {frame.x + frame.width / 2.0, kHeight - 14.0},
              {.size = kLabelSize, .h = 0.5, .v = 1});
  canvas.Text(chart.y_label, {14, frame.y + frame.height / 2.0},
              {.size = kLabelSize, .v = 0.5, .upright = true});

  if (chart.classes.empty()) {
    axes.DrawNote("no labelled objects", kLabelSize);
    return canvas.Finish();
  }
  const std::vector<double> axis = CurveAxis();
  for (size_t i = 0; i < chart.classes.size(); ++i)
    axes.DrawLine(axis, chart.classes[i], stroke_of(i));
  axes.DrawLine(axis, chart.all, thick);
  DrawLegend(canvas, legend, {frame.x + frame.width + kLegendGap, frame.y}, legend_width);
  return canvas.Finish();
}

// Exactly kCurvePoints of it.
std::vector<double> Points(const std::vector<float>& curve) {
  std::vector<double> points(curve.begin(), curve.end());
  points.resize(kCurvePoints, 0);
  return points;
}

}  // namespace

std::vector<double> MeanCurve(const Curves& curves, std::vector<float> ClassCurve::*of) {
  std::vector<double> mean(kCurvePoints, 0.0);
  for (const ClassCurve& curve : curves.classes) {
    const std::vector<double> points = Points(curve.*of);
    for (size_t i = 0; i < kCurvePoints; ++i) {
      if (std::isfinite(points[i]))
        mean[i] += points[i] / static_cast<double>(curves.classes.size());
    }
  }
  return mean;
}

std::vector<double> BoxFiltered(absl::Span<const double> values) {
  const auto count = static_cast<int>(values.size());
  std::vector<double> filtered(values.size());
  for (int i = 0; i < count; ++i) {
    double sum = 0;
    for (int offset = -kHalfBox; offset <= kHalfBox; ++offset) {
      sum += values[std::clamp(i + offset, 0, count - 1)];
    }
    filtered[i] = sum / (2 * kHalfBox + 1);
  }
  return filtered;
}

Figure DrawPrecisionRecall(const Curves& curves) {
  Chart chart{.title = "Precision-Recall Curve", .x_label = "Recall", .y_label = "Precision"};
  Font font;
  double map50 = 0;
  for (const ClassCurve& curve : curves.classes) {
    chart.classes.push_back(Points(curve.precision_at_recall));
    chart.class_texts.push_back(
        {ShownName(font, curve.name, curve.class_id), absl::StrFormat(" %.3f", curve.ap50)});
    map50 += curve.ap50 / static_cast<double>(curves.classes.size());
  }
  chart.all = MeanCurve(curves, &ClassCurve::precision_at_recall);
  chart.all_text = {"all classes", absl::StrFormat(" %.3f mAP@0.5", map50)};
  return Draw(chart);
}

Figure DrawOverConfidence(const Curves& curves, ConfidenceCurve which) {
  const bool is_precision = which == ConfidenceCurve::kPrecision,
             is_recall = which == ConfidenceCurve::kRecall;
  const auto of = is_precision ? &ClassCurve::precision
                  : is_recall  ? &ClassCurve::recall
                               : &ClassCurve::f1;
  const std::string name = is_precision ? "Precision" : is_recall ? "Recall" : "F1";
  Chart chart{.title = name + "-Confidence Curve", .x_label = "Confidence", .y_label = name};
  Font font;
  for (const ClassCurve& curve : curves.classes) {
    chart.classes.push_back(Points(curve.*of));
    chart.class_texts.push_back({ShownName(font, curve.name, curve.class_id), ""});
  }
  chart.all = BoxFiltered(MeanCurve(curves, of));
  const auto best = std::max_element(chart.all.begin(), chart.all.end());
  const double confidence = static_cast<double>(best - chart.all.begin()) / (kCurvePoints - 1);
  chart.all_text = {"all classes", absl::StrFormat(" %.2f at %.3f", *best, confidence)};
  return Draw(chart);
}

}  // namespace yoke::engine
