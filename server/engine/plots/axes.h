// A chart's frame: from numbers to pixels, round ticks, titles.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "opencv2/core/types.hpp"
#include "server/engine/plots/canvas.h"

namespace yoke::engine {

// What an axis shows; low < high, both finite.
struct AxisRange {
  double low = 0, high = 1;
};

// Of the finite values, widened by `margin` of their extent on both sides; of one value, around it;
// of none, 0 .. 1.
AxisRange RangeOf(absl::Span<const double> values, double margin);

struct Tick {
  double at = 0;
  std::string text;
};
// At most `most` (at least 2) of them, at multiples of 1, 2, 2.5 or 5 times a power of ten;
// `whole`: at whole numbers. Texts of one axis have equally many decimals.
std::vector<Tick> RoundTicks(const AxisRange& range, int most, bool whole = false);

// As many ticks as leave room between their texts on an axis of `length` px, at most `most`.
std::vector<Tick> FitTicks(const Font& font, const AxisRange& range, int length, double text_size,
                           bool horizontal, int most, bool whole = false);

// The widest of the ticks' texts, px.
int WidestTick(const Font& font, const std::vector<Tick>& ticks, double text_size);

// How a line of data is drawn.
struct Stroke {
  Colour colour = kBlue;
  double width = 2;  // px
  bool dotted = false;
};

// Axes within `frame`, px; x grows to the right, y upwards.
class Axes {
 public:
  Axes(Canvas& canvas, const cv::Rect& frame, const AxisRange& x, const AxisRange& y);

  // A faint grid, the ticks' texts outside the frame, then the frame itself.
  void DrawTicks(const std::vector<Tick>& x, const std::vector<Tick>& y, double text_size);
  // Over the frame, in its middle; cut to the frame's width and `overhang` px on both sides.
  void DrawTitle(const std::string& title, double text_size, int overhang);
  // In grey, in the middle: why there is nothing to see.
  void DrawNote(const std::string& note, double text_size);
  // Points whose numbers are not finite are left out and interrupt the line; it is clipped at the
  // frame.
  void DrawLine(absl::Span<const double> x, absl::Span<const double> y, const Stroke& stroke);
  void DrawDots(absl::Span<const double> x, absl::Span<const double> y, double radius,
                Colour colour);

  cv::Point2d At(double x, double y) const;
  const cv::Rect& frame() const { return frame_; }

 private:
  Canvas& canvas_;
  const cv::Rect frame_;
  const AxisRange x_, y_;
};

}  // namespace yoke::engine
