#include "server/engine/plots/confusion_chart.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/engine/plots/axes.h"
#include "server/engine/plots/class_name.h"

namespace yoke::engine {
namespace {

constexpr int kPlotSide = 1500;  // px
constexpr int kTop = 90, kEdge = 24, kLabelRoom = 64, kNamesMax = 420;
constexpr int kBarGap = 50, kBarWidth = 50;
constexpr double kTitleSize = 40, kLabelSize = 36, kTickSize = 30, kNameSizeMax = 32,
                 kNameSizeMin = 12;
constexpr double kLeastShown = 0.005;
constexpr int kIdTicks = 12;

// The matrix as the picture shows it: shares or counts.
struct Cells {
  int side = 0;
  std::vector<double> values;  // [predicted * side + truth]
  double largest = 0;

  double at(int row, int column) const { return values[static_cast<size_t>(row) * side + column]; }
};

Cells CellsOf(const ConfusionMatrix& matrix, bool normalized) {
  Cells cells{.side = matrix.classes + 1};
  cells.values.resize(static_cast<size_t>(cells.side) * cells.side, 0.0);
  const size_t known = std::min(cells.values.size(), matrix.counts.size());
  for (size_t i = 0; i < known; ++i) cells.values[i] = static_cast<double>(matrix.counts[i]);
  for (int column = 0; normalized && column < cells.side; ++column) {
    double sum = 0;
    for (int row = 0; row < cells.side; ++row) sum += cells.at(row, column);
    if (sum == 0) continue;
    for (int row = 0; row < cells.side; ++row)
      cells.values[static_cast<size_t>(row) * cells.side + column] /= sum;
  }
  cells.largest =
      normalized ? 1 : std::max(*std::max_element(cells.values.begin(), cells.values.end()), 1.0);
  return cells;
}

// Where cell `i` of `count` begins within `length` px.
int Begin(int64_t i, int64_t count, int64_t length) { return static_cast<int>(i * length / count); }

void DrawCells(Canvas& canvas, const cv::Rect& plot, const Cells& cells) {
  // As many blocks as there are cells or pixels; a block of several cells shows the largest.
  const int blocks = std::min(cells.side, plot.width);
  for (int row = 0; row < blocks; ++row) {
    for (int column = 0; column < blocks; ++column) {
      double value = 0;
      for (int r = Begin(row, blocks, cells.side); r < Begin(row + 1, blocks, cells.side); ++r) {
        for (int c = Begin(column, blocks, cells.side); c < Begin(column + 1, blocks, cells.side);
             ++c) {
          value = std::max(value, cells.at(r, c));
        }
      }
      if (value <= 0) continue;
      const int x = Begin(column, blocks, plot.width), y = Begin(row, blocks, plot.height);
      canvas.Fill({plot.x + x, plot.y + y, Begin(column + 1, blocks, plot.width) - x,
                   Begin(row + 1, blocks, plot.height) - y},
                  Shade(value / cells.largest));
    }
  }
}

void DrawNumbers(Canvas& canvas, const cv::Rect& plot, const Cells& cells, bool normalized) {
  const auto text_of = [&](double value) {
    return normalized ? absl::StrFormat("%.2f", value) : absl::StrFormat("%.0f", value);
  };
  const int cell = plot.width / cells.side;
  const double widest = canvas.font().Width(text_of(normalized ? 0.88 : cells.largest), 100) / 100;
  const double size = std::min({kTickSize, cell * 0.5, 0.85 * cell / widest});
  if (size < kNameSizeMin) return;
  for (int row = 0; row < cells.side; ++row) {
    for (int column = 0; column < cells.side; ++column) {
      const double value = cells.at(row, column);
      if (value < kLeastShown) continue;
      const cv::Point2d middle(plot.x + (column + 0.5) * plot.width / cells.side,
                               plot.y + (row + 0.5) * plot.height / cells.side);
      const Colour ink = InkOn(Shade(value / cells.largest));
      canvas.Text(text_of(value), middle, {.size = size, .colour = ink, .h = 0.5, .v = 0.5});
    }
  }
}

// What stands beside the rows and under the columns.
struct Side {
  struct Mark {
    double at = 0;  // cells from the corner, of the middle
    std::string text;
  };
  std::vector<Mark> marks;
  double size = kTickSize;
  int room = 0;  // px the texts take, away from the plot
};

Side SideOf(const Font& font, const Cells& cells, const std::vector<std::string>& names) {
  Side side;
  const int classes = cells.side - 1;
  const double cell = static_cast<double>(kPlotSide) / cells.side;
  if (cells.side <= kCellNamesMax) {
    side.size = Font::SizeFor(cell, kNameSizeMin, kNameSizeMax);
    for (int i = 0; i < cells.side; ++i) {
      const std::string name = i < classes ? ShownName(font, names, i) : "background";
      side.marks.push_back({i + 0.5, font.Elided(name, side.size, kNamesMax)});
    }
  } else {
    for (const Tick& tick : RoundTicks({0, classes - 1.0}, kIdTicks, true)) {
      // The last number would run into the background's.
      const bool clear = (classes - tick.at) * cell > 1.5 * Font::LineHeight(kTickSize);
      if (clear) side.marks.push_back({tick.at + 0.5, tick.text});
    }
    side.marks.push_back({classes + 0.5, "background"});
  }
  for (const Side::Mark& mark : side.marks) {
    side.room = std::max(side.room, static_cast<int>(std::ceil(font.Width(mark.text, side.size))));
  }
  return side;
}

void DrawSides(Canvas& canvas, const cv::Rect& plot, const Cells& cells, const Side& side) {
  constexpr int kMark = 8, kGap = 14;
  // In the corner the texts of both sides keep clear of each other.
  const int under = std::max(kGap, Font::LineHeight(side.size) / 2 + 1);
  for (const Side::Mark& mark : side.marks) {
    const double x = plot.x + mark.at * plot.width / cells.side,
                 y = plot.y + mark.at * plot.height / cells.side;
    const int bottom = plot.y + plot.height;
    canvas.Fill({plot.x - kMark, static_cast<int>(y) - 1, kMark, 2}, kInk);
    canvas.Fill({static_cast<int>(x) - 1, bottom, 2, kMark}, kInk);
    canvas.Text(mark.text, {double(plot.x - kGap), y}, {.size = side.size, .h = 1, .v = 0.5});
    canvas.Text(mark.text, {x, double(bottom + under)},
                {.size = side.size, .h = 0.5, .upright = true});
  }
}

// The colour scale beside the plot.
void DrawScale(Canvas& canvas, const cv::Rect& bar, double largest,
               const std::vector<Tick>& ticks) {
  for (int y = 0; y < bar.height; ++y) {
    canvas.Fill({bar.x, bar.y + y, bar.width, 1},
                Shade(1 - static_cast<double>(y) / (bar.height - 1)));
  }
  canvas.Frame(bar, kInk, 2);
  for (const Tick& tick : ticks) {
    const double y = bar.y + (1 - tick.at / largest) * (bar.height - 1);
    canvas.Fill({bar.x + bar.width, static_cast<int>(y) - 1, 8, 2}, kInk);
    canvas.Text(tick.text, {bar.x + bar.width + 14.0, y}, {.size = kTickSize, .v = 0.5});
  }
}

}  // namespace

Figure DrawConfusion(const ConfusionMatrix& matrix, const std::vector<std::string>& names,
                     bool normalized) {
  const Font font;
  const Cells cells = CellsOf(matrix, normalized);
  const Side side = SideOf(font, cells, names);
  const std::vector<Tick> scale = RoundTicks({0, cells.largest}, 6, !normalized);
  const int left = kEdge + kLabelRoom + side.room + 20,
            bottom = side.room + 20 + kLabelRoom + kEdge;
  const cv::Rect plot(left, kTop, kPlotSide, kPlotSide);
  const cv::Rect bar(plot.x + plot.width + kBarGap, plot.y, kBarWidth, plot.height);

  Canvas canvas(bar.x + bar.width + 14 + WidestTick(font, scale, kTickSize) + kEdge,
                kTop + kPlotSide + bottom);
  canvas.AddPanel(plot);
  DrawCells(canvas, plot, cells);
  if (cells.side <= kCellTextsMax) DrawNumbers(canvas, plot, cells, normalized);
  canvas.Frame({plot.x - 1, plot.y - 1, plot.width + 2, plot.height + 2}, kInk, 2);
  DrawSides(canvas, plot, cells, side);
  DrawScale(canvas, bar, cells.largest, scale);
  const double middle_x = plot.x + plot.width / 2.0, middle_y = plot.y + plot.height / 2.0;
  canvas.Text(normalized ? "Confusion Matrix Normalized" : "Confusion Matrix",
              {middle_x, plot.y - 18.0}, {.size = kTitleSize, .h = 0.5, .v = 1});
  canvas.Text("True", {middle_x, double(canvas.area().height - kEdge / 2)},
              {.size = kLabelSize, .h = 0.5, .v = 1});
  canvas.Text("Predicted", {kEdge / 2.0, middle_y},
              {.size = kLabelSize, .v = 0.5, .upright = true});
  return canvas.Finish();
}

}  // namespace yoke::engine
