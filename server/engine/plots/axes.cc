#include "server/engine/plots/axes.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

namespace yoke::engine {
namespace {

constexpr double kLargest = 1e30;  // what is beyond counts as this
constexpr double kGap = 0.35;      // between a tick and its text, em

// The least step of the series 1, 2, 2.5, 5, 10 ... that is no less than `step`.
double RoundStep(double step, bool whole) {
  const double power = std::pow(10, std::floor(std::log10(step)));
  for (const double factor : {1.0, 2.0, 2.5, 5.0, 10.0}) {
    const double round = factor * power;
    if (whole && (round < 1 || round != std::floor(round))) continue;
    if (round >= step * (1 - 1e-9)) return round;
  }
  return whole ? 1 : 10 * power;
}

// With the decimals that a step needs; far from 1, as powers of ten.
std::string TickText(double value, double step, double largest) {
  if (largest < 1e7 && step >= 1e-4) {
    int decimals = 0;
    for (double scaled = step;
         decimals < 6 && std::abs(scaled - std::round(scaled)) > 1e-6 * scaled; ++decimals) {
      scaled *= 10;
    }
    return absl::StrFormat("%.*f", decimals, value);
  }
  const int digits = static_cast<int>(std::ceil(std::log10(std::max(largest / step, 1.0)))) + 1;
  return absl::StrFormat("%.*g", std::clamp(digits, 2, 17), value);
}

}  // namespace

AxisRange RangeOf(absl::Span<const double> values, double margin) {
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, std::clamp(value, -kLargest, kLargest));
    high = std::max(high, std::clamp(value, -kLargest, kLargest));
  }
  if (low > high) return {0, 1};
  // Numbers too near to each other to tell apart are one.
  const double least = std::max(std::abs(low), std::abs(high)) * 1e-6;
  if (high - low <= least) {
    const double half = low == 0 ? 0.05 : std::max(std::abs(low), std::abs(high)) * 0.05;
    return {low - half, high + half};
  }
  const double extra = (high - low) * margin;
  return {low - extra, high + extra};
}

std::vector<Tick> RoundTicks(const AxisRange& range, int most, bool whole) {
  const double extent = range.high - range.low;
  double step = RoundStep(extent / std::max(most, 2), whole);
  double first = 0;
  int count = 0;
  for (;; step = RoundStep(step * 1.01, whole)) {
    first = std::ceil(range.low / step - 1e-6);
    count = static_cast<int>(std::floor(range.high / step + 1e-6) - first) + 1;
    if (count <= std::max(most, 2)) break;
  }
  std::vector<Tick> ticks;
  const double largest = std::max(std::abs(range.low), std::abs(range.high));
  for (int i = 0; i < count; ++i) {
    const double value = (first + i) * step + 0.0;  // no minus zero
    ticks.push_back({value, TickText(value, step, largest)});
  }
  return ticks;
}

std::vector<Tick> FitTicks(const Font& font, const AxisRange& range, int length, double text_size,
                           bool horizontal, int most, bool whole) {
  for (int count = most;; --count) {
    std::vector<Tick> ticks = RoundTicks(range, count, whole);
    if (count <= 2 || ticks.size() < 2) return ticks;
    const double room = (ticks[1].at - ticks[0].at) / (range.high - range.low) * length;
    const double need = horizontal ? WidestTick(font, ticks, text_size) + text_size
                                   : 1.3 * Font::LineHeight(text_size);
    if (room >= need) return ticks;
  }
}

int WidestTick(const Font& font, const std::vector<Tick>& ticks, double text_size) {
  double widest = 0;
  for (const Tick& tick : ticks) widest = std::max(widest, font.Width(tick.text, text_size));
  return static_cast<int>(std::ceil(widest));
}

Axes::Axes(Canvas& canvas, const cv::Rect& frame, const AxisRange& x, const AxisRange& y)
    : canvas_(canvas), frame_(frame), x_(x), y_(y) {
  canvas.AddPanel(frame);
}

cv::Point2d Axes::At(double x, double y) const {
  const auto share = [](double value, const AxisRange& range) {
    return std::clamp((value - range.low) / (range.high - range.low), -1.0, 2.0);
  };
  return {frame_.x + share(x, x_) * (frame_.width - 1),
          frame_.y + (1 - share(y, y_)) * (frame_.height - 1)};
}

void Axes::DrawTicks(const std::vector<Tick>& x, const std::vector<Tick>& y, double text_size) {
  const int length = std::max(3, static_cast<int>(text_size / 4));
  const double gap = length + kGap * text_size / 2;
  // In the corner the texts of both axes keep clear of each other.
  const double under = std::max(gap, Font::LineHeight(text_size) / 2.0 + 1);
  const int right = frame_.x + frame_.width, bottom = frame_.y + frame_.height;
  for (const Tick& tick : x) {
    const int at = static_cast<int>(std::lround(At(tick.at, y_.low).x));
    canvas_.Fill({at, frame_.y, 1, frame_.height}, kPale);
    canvas_.Fill({at - 1, bottom, 2, length}, kInk);
    canvas_.Text(tick.text, {double(at), bottom + under}, {.size = text_size, .h = 0.5});
  }
  for (const Tick& tick : y) {
    const int at = static_cast<int>(std::lround(At(x_.low, tick.at).y));
    canvas_.Fill({frame_.x, at, frame_.width, 1}, kPale);
    canvas_.Fill({frame_.x - length, at - 1, length, 2}, kInk);
    canvas_.Text(tick.text, {frame_.x - gap, double(at)}, {.size = text_size, .h = 1, .v = 0.5});
  }
  canvas_.Frame({frame_.x - 1, frame_.y - 1, right - frame_.x + 2, bottom - frame_.y + 2}, kInk, 2);
}

void Axes::DrawTitle(const std::string& title, double text_size, int overhang) {
  const std::string text = canvas_.font().Elided(title, text_size, frame_.width + 2 * overhang);
  canvas_.Text(text, {frame_.x + frame_.width / 2.0, frame_.y - kGap * text_size},
               {.size = text_size, .h = 0.5, .v = 1});
}

void Axes::DrawNote(const std::string& note, double text_size) {
  const std::string text = canvas_.font().Elided(note, text_size, frame_.width);
  canvas_.Text(text, {frame_.x + frame_.width / 2.0, frame_.y + frame_.height / 2.0},
               {.size = text_size, .colour = kGrey, .h = 0.5, .v = 0.5});
}

void Axes::DrawLine(absl::Span<const double> x, absl::Span<const double> y, const Stroke& stroke) {
  std::vector<cv::Point2d> run;
  size_t points = 0;
  const auto end_run = [&] {
    canvas_.Line(run, stroke.colour, stroke.width, frame_, stroke.dotted);
    points += run.size();
    run.clear();
  };
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    if (std::isfinite(x[i]) && std::isfinite(y[i])) {
      run.push_back(At(x[i], y[i]));
    } else {
      end_run();
    }
  }
  end_run();
  if (points > 0) canvas_.AddLine({stroke.colour, stroke.width, points});
}

void Axes::DrawDots(absl::Span<const double> x, absl::Span<const double> y, double radius,
                    Colour colour) {
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    if (std::isfinite(x[i]) && std::isfinite(y[i])) canvas_.Dot(At(x[i], y[i]), radius, colour);
  }
}

}  // namespace yoke::engine
