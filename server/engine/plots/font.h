// Text in pictures: one sans-serif face at any size, measured and drawn anti-aliased.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "opencv2/core/mat.hpp"

namespace yoke::engine {

// The face is Tuffy (Latin, Greek, Cyrillic, signs), held by the program itself. `size` is the
// height of an em in px. Text is one line of UTF-8, left to right. What the face lacks, and bytes
// that are no UTF-8, show as a hollow box; control characters as a blank; invisible marks not at
// all. Not thread-safe: glyphs are kept for reuse.
class Font {
 public:
  Font();
  ~Font();
  Font(const Font&) = delete;
  Font& operator=(const Font&) = delete;

  // Of the line's advance, px.
  double Width(std::string_view text, double size) const;
  // Of a line box: room for accents above and descenders below, px.
  static int LineHeight(double size);
  // The size of a line that is no higher than `room` px, at most `largest`, but at least `least`.
  static double SizeFor(double room, double least, double largest);
  // Coverage of the line, 0 .. 255, CV_8UC1, LineHeight(size) high and at least Width wide; what
  // hangs over the left edge is cut.
  cv::Mat Coverage(std::string_view text, double size) const;
  // Every sign of it has a glyph.
  bool Shows(std::string_view text) const;
  // The text itself if it is no wider than `width` px, else its beginning and "…".
  std::string Elided(std::string_view text, double size, double width) const;

 private:
  struct Glyphs;
  const std::unique_ptr<Glyphs> glyphs_;
};

}  // namespace yoke::engine
