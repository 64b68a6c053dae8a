#include "server/engine/plots/results_chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/engine/plots/axes.h"

namespace yoke::engine {
namespace {

constexpr int kColumns = 5, kRows = 2;
constexpr const char* kPanels[kRows * kColumns] = {
    "train/box_loss",    "train/cls_loss",     "train/dfl_loss", "metrics/precision(B)",
    "metrics/recall(B)", "val/box_loss",       "val/cls_loss",   "val/dfl_loss",
    "metrics/mAP50(B)",  "metrics/mAP50-95(B)"};

constexpr int kCellWidth = 480, kCellHeight = 600;  // px
constexpr double kTitleSize = 32, kTickSize = 26;
constexpr int kTop = 72, kBottom = 62, kRight = 30,
              kLeft = 34;  // around a panel; the left one without tick texts
constexpr int kTicksMax = 7;
constexpr size_t kDotsMax = 150;               // more epochs would hide their line
constexpr double kDeviation = 3, kReach = 12;  // of the smoothing, epochs

struct Panel {
  const char* column;
  std::vector<double> values, smoothed;
  AxisRange range;
  std::vector<Tick> ticks;
};

// Line samples in a corner of the panel that the data leave free.
void DrawKey(Canvas& canvas, const Axes& axes, const Panel& panel) {
  const std::string texts[2] = {"results", "smooth"};
  const double size = 24;
  const int sample = 56, gap = 12;
  const int width = static_cast<int>(canvas.font().Width(texts[0], size)) + sample + 3 * gap;
  const int line = Font::LineHeight(size), height = 2 * line + gap;
  const cv::Rect& frame = axes.frame();
  // Losses fall and metrics rise, so the right upper corner is the one most often free; else the
  // lower one.
  double late = 0;
  for (const double value : panel.values) late = std::isfinite(value) ? value : late;
  const bool top = late < (panel.range.low + panel.range.high) / 2;
  const cv::Rect box(frame.x + frame.width - width - gap,
                     top ? frame.y + gap : frame.y + frame.height - height - gap, width, height);
  canvas.Fill(box, kWhite);
  canvas.Frame(box, kPale, 2);
  for (int i = 0; i < 2; ++i) {
    const double y = box.y + gap / 2.0 + (i + 0.5) * line, x = box.x + gap;
    canvas.Line({{x, y}, {x + sample, y}}, i == 0 ? kBlue : kOrange, 4, box, i == 1);
    if (i == 0) canvas.Dot({x + sample / 2.0, y}, 7, kBlue);
    canvas.Text(texts[i], {x + sample + gap, y}, {.size = size, .v = 0.5});
  }
}

}  // namespace

std::vector<double> Smoothed(absl::Span<const double> values) {
  std::vector<double> smoothed(values.size(), std::numeric_limits<double>::quiet_NaN());
  const auto count = static_cast<int>(values.size());
  for (int i = 0; i < count; ++i) {
    double sum = 0, weights = 0;
    for (int offset = -static_cast<int>(kReach); offset <= kReach; ++offset) {
      const double value = values[std::clamp(i + offset, 0, count - 1)];
      if (!std::isfinite(value)) continue;
      const double weight = std::exp(-0.5 * offset * offset / (kDeviation * kDeviation));
      sum += weight * value;
      weights += weight;
    }
    if (weights > 0) smoothed[i] = sum / weights;
  }
  return smoothed;
}

Figure DrawResults(const ResultsTable& table) {
  Canvas canvas(kColumns * kCellWidth, kRows * kCellHeight);
  const std::vector<double>& epochs = table.Column("epoch");
  const AxisRange epoch_range = RangeOf(epochs, 0.04);
  const int frame_height = kCellHeight - kTop - kBottom;

  std::vector<Panel> panels;
  int left = kLeft;
  for (const char* column : kPanels) {
    Panel panel{.column = column, .values = table.Column(column)};
    panel.smoothed = Smoothed(panel.values);
    panel.range = RangeOf(panel.values, 0.06);
    panel.ticks = FitTicks(canvas.font(), panel.range, frame_height, kTickSize, false, kTicksMax);
    // One margin for all, so that frames stand in line.
    left = std::max(left, kLeft + WidestTick(canvas.font(), panel.ticks, kTickSize));
    panels.push_back(std::move(panel));
  }
  left = std::min(left, kCellWidth / 2);

  for (int i = 0; i < kRows * kColumns; ++i) {
    const Panel& panel = panels[i];
    const cv::Rect frame(i % kColumns * kCellWidth + left, i / kColumns * kCellHeight + kTop,
                         kCellWidth - left - kRight, frame_height);
    Axes axes(canvas, frame, epoch_range, panel.range);
    const std::vector<Tick> x_ticks = FitTicks(canvas.font(), epoch_range, frame.width, kTickSize,
                                               true, kTicksMax, !epochs.empty());
    axes.DrawTicks(x_ticks, panel.ticks, kTickSize);
    axes.DrawTitle(panel.column, kTitleSize, left - 8);
    if (std::none_of(panel.values.begin(), panel.values.end(),
                     [](double v) { return std::isfinite(v); })) {
      axes.DrawNote(epochs.empty() ? "no epochs" : "no values", kTitleSize);
      continue;
    }
    axes.DrawLine(epochs, panel.values, {.colour = kBlue, .width = 4});
    if (epochs.size() <= kDotsMax) axes.DrawDots(epochs, panel.values, 7, kBlue);
    axes.DrawLine(epochs, panel.smoothed, {.colour = kOrange, .width = 4, .dotted = true});
    if (i == 1) DrawKey(canvas, axes, panel);
  }
  return canvas.Finish();
}

}  // namespace yoke::engine
