#include "server/engine/plots/label_chart.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/engine/plots/axes.h"
#include "server/engine/plots/class_name.h"

namespace yoke::engine {
namespace {

constexpr int kSide = 1600;  // px
constexpr double kTitleSize = 32, kTickSize = 26, kSmallest = 12;
constexpr int kNamedMax = 30;  // bars with names under them
constexpr int kNameRoomMax = 230;
constexpr int64_t kBoxesMax = 1000;
constexpr int kBins = 50;
constexpr int kLeft = 130, kTop = 70, kRight = 30, kBottom = 100;  // around a panel
constexpr double kFaintest = 0.12;  // share of the colour scale that one object has at least

std::vector<int64_t> CountClasses(const Split& split, size_t classes) {
  std::vector<int64_t> counts(classes, 0);
  for (const Sample& sample : split.samples) {
    for (const Label& label : sample.labels) {
      if (label.class_id >= 0 && static_cast<size_t>(label.class_id) < classes)
        ++counts[label.class_id];
    }
  }
  return counts;
}

// Class names under the bars where they are few, else class numbers.
void DrawBars(Canvas& canvas, const cv::Rect& cell, const std::vector<int64_t>& counts,
              const std::vector<std::string>& names) {
  const auto classes = static_cast<int>(counts.size());
  const bool named = classes <= kNamedMax;
  const double slot = static_cast<double>(cell.width - kLeft - kRight) / std::max(classes, 1);
  const double name_size = Font::SizeFor(slot, kSmallest, kTickSize);
  std::vector<std::string> texts;
  int room = 0;
  for (int i = 0; named && i < classes; ++i) {
    texts.push_back(
        canvas.font().Elided(ShownName(canvas.font(), names, i), name_size, kNameRoomMax));
    room = std::max(room, static_cast<int>(canvas.font().Width(texts.back(), name_size)) + 20);
  }
  const int bottom = named ? std::max(room, 60) : kBottom;
  const cv::Rect frame(cell.x + kLeft, cell.y + kTop, cell.width - kLeft - kRight,
                       cell.height - kTop - bottom);
  const int64_t most = classes == 0 ? 0 : *std::max_element(counts.begin(), counts.end());
  const AxisRange x{-0.5, std::max(classes, 1) - 0.5},
      y{0, std::max(static_cast<double>(most), 1.0) * 1.08};
  Axes axes(canvas, frame, x, y);
  axes.DrawTicks(named ? std::vector<Tick>()
                       : FitTicks(canvas.font(), x, frame.width, kTickSize, true, 8, true),
                 FitTicks(canvas.font(), y, frame.height, kTickSize, false, 7, true), kTickSize);
  axes.DrawTitle("instances per class", kTitleSize, 0);
  if (!named) {
    canvas.Text("class", {frame.x + frame.width / 2.0, double(cell.y + cell.height - 8)},
                {.size = kTitleSize, .h = 0.5, .v = 1});
  }
  if (most == 0) axes.DrawNote("no boxes", kTitleSize);
  for (int i = 0; i < classes; ++i) {
    const double middle = axes.At(i, 0).x;
    const int width = std::max(1, static_cast<int>(slot * 0.8));
    const int top = static_cast<int>(axes.At(i, static_cast<double>(counts[i])).y);
    const int base = frame.y + frame.height;
    if (counts[i] > 0) {
      const int tall = std::max(2, base - 1 - top);
      canvas.Fill({static_cast<int>(middle - width / 2.0), base - 1 - tall, width, tall},
                  ClassColour(i));
    }
    if (!named) continue;
    canvas.Text(texts[i], {middle, base + 10.0}, {.size = name_size, .h = 0.5, .upright = true});
    const std::string count = absl::StrCat(counts[i]);
    const double size = std::min(
        kTickSize, kTickSize * 0.85 * slot / std::max(canvas.font().Width(count, kTickSize), 1.0));
    if (size >= kSmallest)
      canvas.Text(count, {middle, top - 2.0}, {.size = size, .h = 0.5, .v = 1});
  }
}

void DrawBoxes(Canvas& canvas, const cv::Rect& cell, const Split& split, int64_t boxes) {
  const int side = std::min(cell.width, cell.height) - kTop - kRight - 20;
  const cv::Rect frame(cell.x + (cell.width - side) / 2, cell.y + kTop, side, side);
  Axes axes(canvas, frame, {0, 1}, {0, 1});
  axes.DrawTitle("sizes of boxes, share of the image", kTitleSize, 60);
  canvas.Frame({frame.x - 1, frame.y - 1, side + 2, side + 2}, kInk, 2);
  const double step = std::max(1.0, static_cast<double>(boxes) / kBoxesMax);
  double next = 0;
  int64_t index = 0;
  for (const Sample& sample : split.samples) {
    for (const Label& label : sample.labels) {
      if (static_cast<double>(index++) < next) continue;
      next += step;
      if (!std::isfinite(label.w) || !std::isfinite(label.h)) continue;
      const int width = std::max(1, static_cast<int>(std::clamp(label.w, 0.0f, 1.0f) * side));
      const int height = std::max(1, static_cast<int>(std::clamp(label.h, 0.0f, 1.0f) * side));
      canvas.Frame({frame.x + (side - width) / 2, frame.y + (side - height) / 2, width, height},
                   ClassColour(label.class_id), 1);
    }
  }
  if (index == 0) axes.DrawNote("no boxes", kTitleSize);
}

// A density over two of a label's numbers.
void DrawDensity(Canvas& canvas, const cv::Rect& cell, const Split& split, float Label::*across,
                 float Label::*up, const std::string& x_text, const std::string& y_text) {
  std::vector<int64_t> bins(static_cast<size_t>(kBins) * kBins, 0);
  const auto bin = [](float value) {
    return static_cast<size_t>(std::isnan(value) ? 0
                                                 : std::clamp(value * kBins, 0.0f, kBins - 1.0f));
  };
  for (const Sample& sample : split.samples) {
    for (const Label& label : sample.labels) ++bins[bin(label.*up) * kBins + bin(label.*across)];
  }
  const int64_t most = *std::max_element(bins.begin(), bins.end());
  const cv::Rect frame(cell.x + kLeft, cell.y + 20, cell.width - kLeft - kRight,
                       cell.height - 20 - kBottom);
  Axes axes(canvas, frame, {0, 1}, {0, 1});
  const std::vector<Tick> ticks = RoundTicks({0, 1}, 6);
  axes.DrawTicks(ticks, ticks, kTickSize);
  for (int row = 0; row < kBins; ++row) {
    for (int column = 0; column < kBins; ++column) {
      const int64_t count = bins[static_cast<size_t>(row) * kBins + column];
      if (count == 0) continue;
      const int x = column * frame.width / kBins, right = (column + 1) * frame.width / kBins;
      const int y = row * frame.height / kBins, top = (row + 1) * frame.height / kBins;
      const double share = static_cast<double>(count) / static_cast<double>(most);
      canvas.Fill({frame.x + x, frame.y + frame.height - top, right - x, top - y},
                  Shade(kFaintest + (1 - kFaintest) * share));
    }
  }
  if (most == 0) axes.DrawNote("no boxes", kTitleSize);
  canvas.Text(x_text, {frame.x + frame.width / 2.0, double(cell.y + cell.height - 8)},
              {.size = kTitleSize, .h = 0.5, .v = 1});
  canvas.Text(y_text, {cell.x + 12.0, frame.y + frame.height / 2.0},
              {.size = kTitleSize, .v = 0.5, .upright = true});
}

}  // namespace

Figure DrawLabels(const Split& split, const std::vector<std::string>& names) {
  Canvas canvas(kSide, kSide);
  size_t classes = names.size();
  int64_t boxes = 0;
  for (const Sample& sample : split.samples) boxes += static_cast<int64_t>(sample.labels.size());
  constexpr int kHalf = kSide / 2;
  DrawBars(canvas, {0, 0, kHalf, kHalf}, CountClasses(split, classes), names);
  DrawBoxes(canvas, {kHalf, 0, kHalf, kHalf}, split, boxes);
  DrawDensity(canvas, {0, kHalf, kHalf, kHalf}, split, &Label::x, &Label::y, "x of the centre",
              "y of the centre");
  DrawDensity(canvas, {kHalf, kHalf, kHalf, kHalf}, split, &Label::w, &Label::h, "width", "height");
  return canvas.Finish();
}

}  // namespace yoke::engine
