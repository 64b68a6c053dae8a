// A picture under construction, which remembers where it put what: tests read the layout instead of
// pixels.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "opencv2/core/mat.hpp"
#include "server/engine/plots/font.h"
#include "server/engine/plots/palette.h"

namespace yoke::engine {

struct PlacedText {
  cv::Rect box;  // px
  std::string text;
};
struct DrawnLine {
  Colour colour;
  double width = 1;  // px
  size_t points = 0;
};
// px of the picture.
struct Layout {
  std::vector<cv::Rect> panels;  // areas with axes of their own, or the cells of a mosaic
  std::vector<PlacedText> texts;
  std::vector<DrawnLine> lines;  // of data
};

// A finished picture.
struct Figure {
  cv::Mat bgr;  // CV_8UC3
  Layout layout;
};

struct TextStyle {
  double size = 22;  // em, px
  Colour colour = kInk;
  // Which point of the text's box lies at the given place: 0 left or top, 0.5 the middle, 1 right
  // or bottom.
  double h = 0, v = 0;
  bool upright = false;  // turned by 90 degrees, read from below
};

// Coordinates are px, pixel centres at whole numbers; everything is clipped at the picture's edges.
class Canvas {
 public:
  // Sizes are at least 1.
  Canvas(int width, int height);

  void Fill(const cv::Rect& rect, Colour colour);
  // A frame of `width` px, within the rectangle.
  void Frame(const cv::Rect& rect, Colour colour, int width);
  // Anti-aliased, clipped at `clip`; `dotted` leaves gaps as long as its dashes. Points are finite.
  void Line(const std::vector<cv::Point2d>& points, Colour colour, double width,
            const cv::Rect& clip, bool dotted = false);
  void Dot(cv::Point2d centre, double radius, Colour colour);

  // Where Text would draw.
  cv::Rect TextBox(std::string_view text, cv::Point2d place, const TextStyle& style) const;
  // Returns the box it took.
  cv::Rect Text(std::string_view text, cv::Point2d place, const TextStyle& style);

  void AddPanel(const cv::Rect& panel) { layout_.panels.push_back(panel); }
  // Notes a line of data in the layout.
  void AddLine(const DrawnLine& line) { layout_.lines.push_back(line); }

  const Font& font() const { return font_; }
  cv::Rect area() const { return {0, 0, bgr_.cols, bgr_.rows}; }
  cv::Mat& bgr() { return bgr_; }
  // Hands the picture over; the canvas is used up.
  Figure Finish() { return {std::move(bgr_), std::move(layout_)}; }

 private:
  Font font_;
  cv::Mat bgr_;
  Layout layout_;
};

}  // namespace yoke::engine
