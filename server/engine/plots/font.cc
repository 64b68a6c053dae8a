#include "server/engine/plots/font.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <unordered_map>

#include "opencv2/core.hpp"
#include "opencv2/imgproc.hpp"
#include "server/engine/plots/font_bytes.h"
#include "server/engine/plots/utf8.h"

#define STBTT_STATIC
#define STB_TRUETYPE_IMPLEMENTATION
#include "stb/stb_truetype.h"

namespace yoke::engine {
namespace {

// Shares of an em.
constexpr double kAscent = 0.98, kDescent = 0.24;
constexpr double kBoxWidth = 0.62, kBoxHeight = 0.7;  // of what stands for a missing glyph
constexpr char kEllipsis[] = "…";
constexpr int kSubpixels = 4;
constexpr size_t kGlyphsMax = 4096;  // kept for reuse

// Of a line box, px from its top.
int BaseLine(double size) { return static_cast<int>(std::ceil(kAscent * size)); }

bool Between(char32_t sign, char32_t low, char32_t high) { return sign >= low && sign <= high; }

bool IsControl(char32_t sign) {
  return sign < 0x20 || Between(sign, 0x7F, 0x9F) || Between(sign, 0x2028, 0x2029);
}
bool IsCombining(char32_t sign) { return Between(sign, 0x300, 0x36F); }

// Joiners, directions, variants: marks that are never drawn.
bool IsInvisible(char32_t sign) {
  return sign == 0xAD || Between(sign, 0x200B, 0x200F) || Between(sign, 0x202A, 0x202E) ||
         Between(sign, 0x2060, 0x206F) || Between(sign, 0xFE00, 0xFE0F) || sign == 0xFEFF ||
         Between(sign, 0xE0000, 0xE01EF);
}

struct Bitmap {
  cv::Mat coverage;       // empty: blank
  int left = 0, top = 0;  // of its first pixel, from the pen on the base line
};

}  // namespace

struct Font::Glyphs {
  // A sign of a line: its glyph (0: missing) and where its pen stands, font units.
  struct Step {
    int glyph = 0;
    double pen = 0;
  };

  Glyphs() {
    stbtt_InitFont(&info, kFontBytes, 0);
    em = 1 / stbtt_ScaleForMappingEmToPixels(&info, 1);
  }

  // Font units.
  int Advance(int glyph) const {
    if (glyph == 0) return static_cast<int>(kBoxWidth * em);
    int advance = 0, bearing = 0;
    stbtt_GetGlyphHMetrics(&info, glyph, &advance, &bearing);
    return advance;
  }

  // Calls visit(Step) for each sign to draw; returns the width of all, font units.
  template <typename Visit>
  double Walk(std::string_view text, const Visit& visit) const {
    double pen = 0;
    int before = 0;
    while (!text.empty()) {
      char32_t sign = TakeSign(text);
      if (IsInvisible(sign)) continue;
      if (IsControl(sign)) sign = ' ';
      const int glyph = stbtt_FindGlyphIndex(&info, static_cast<int>(sign));
      if (glyph != 0 && IsCombining(sign)) {  // over the middle of the sign before
        int x0 = 0, y0 = 0, x1 = 0, y1 = 0;
        stbtt_GetGlyphBox(&info, glyph, &x0, &y0, &x1, &y1);
        visit(Step{glyph, std::max(pen - Advance(before) / 2.0 - (x0 + x1) / 2.0, 0.0 - x0)});
        continue;
      }
      if (before != 0 && glyph != 0) pen += stbtt_GetGlyphKernAdvance(&info, before, glyph);
      visit(Step{glyph, pen});
      pen += Advance(glyph);
      before = glyph;
    }
    return pen;
  }

  // `shift`: of the pen, in 1/kSubpixels of a pixel.
  const Bitmap& At(int glyph, double size, int shift) {
    const auto key = static_cast<uint64_t>(glyph) << 40 |
                     static_cast<uint64_t>(std::lround(size * 16)) << 8 |
                     static_cast<uint64_t>(shift);
    if (bitmaps.size() >= kGlyphsMax) bitmaps.clear();
    const auto [it, made] = bitmaps.try_emplace(key);
    if (!made) return it->second;
    Bitmap& bitmap = it->second;
    if (glyph == 0) {
      const int width = std::max(3, static_cast<int>(size * kBoxWidth * 0.85));
      const int height = std::max(3, static_cast<int>(size * kBoxHeight));
      bitmap.coverage = cv::Mat(height, width, CV_8UC1, cv::Scalar(0));
      cv::rectangle(bitmap.coverage, {0, 0, width, height}, 255,
                    std::max(1, static_cast<int>(size / 16)));
      bitmap.left = 1;
      bitmap.top = -height;
      return bitmap;
    }
    const float scale = static_cast<float>(size / em);
    const float sub = static_cast<float>(shift) / kSubpixels;
    int x0 = 0, y0 = 0, x1 = 0, y1 = 0;
    stbtt_GetGlyphBitmapBoxSubpixel(&info, glyph, scale, scale, sub, 0, &x0, &y0, &x1, &y1);
    if (x1 <= x0 || y1 <= y0) return bitmap;
    bitmap.coverage.create(y1 - y0, x1 - x0, CV_8UC1);
    stbtt_MakeGlyphBitmapSubpixel(&info, bitmap.coverage.data, bitmap.coverage.cols,
                                  bitmap.coverage.rows, static_cast<int>(bitmap.coverage.step),
                                  scale, scale, sub, 0, glyph);
    bitmap.left = x0;
    bitmap.top = y0;
    return bitmap;
  }

  stbtt_fontinfo info = {};
  double em = 1;  // font units
  std::unordered_map<uint64_t, Bitmap> bitmaps;
};

Font::Font() : glyphs_(std::make_unique<Glyphs>()) {}
Font::~Font() = default;

double Font::Width(std::string_view text, double size) const {
  return glyphs_->Walk(text, [](const Glyphs::Step&) {}) * size / glyphs_->em;
}

int Font::LineHeight(double size) {
  return BaseLine(size) + static_cast<int>(std::ceil(kDescent * size));
}

double Font::SizeFor(double room, double least, double largest) {
  double size = largest;
  while (size > least && LineHeight(size) > room) size -= 0.5;
  return std::max(size, least);
}

cv::Mat Font::Coverage(std::string_view text, double size) const {
  const int width = static_cast<int>(std::ceil(Width(text, size))) + 1;
  cv::Mat line(LineHeight(size), std::max(width, 1), CV_8UC1, cv::Scalar(0));
  const int base = BaseLine(size);
  const cv::Rect all(0, 0, line.cols, line.rows);
  glyphs_->Walk(text, [&](const Glyphs::Step& step) {
    const double pen = step.pen * size / glyphs_->em;
    const int whole = static_cast<int>(std::floor(pen));
    const Bitmap& bitmap =
        glyphs_->At(step.glyph, size, static_cast<int>((pen - whole) * kSubpixels));
    if (bitmap.coverage.empty()) return;
    const cv::Rect place(whole + bitmap.left, base + bitmap.top, bitmap.coverage.cols,
                         bitmap.coverage.rows);
    const cv::Rect seen = place & all;
    if (seen.empty()) return;
    cv::Mat target = line(seen);
    cv::max(target, bitmap.coverage(seen - place.tl()), target);
  });
  return line;
}

bool Font::Shows(std::string_view text) const {
  bool shows = true;
  glyphs_->Walk(text, [&](const Glyphs::Step& step) { shows = shows && step.glyph != 0; });
  return shows;
}

std::string Font::Elided(std::string_view text, double size, double width) const {
  const double limit = width * glyphs_->em / size;
  const double room = limit - Width(kEllipsis, glyphs_->em);
  double pen = 0;
  size_t fits = 0;  // bytes that leave room for the ellipsis
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view before = rest;
    TakeSign(rest);
    pen += Width(before.substr(0, before.size() - rest.size()), glyphs_->em);
    if (pen <= room) fits = text.size() - rest.size();
    if (pen > limit) return std::string(text.substr(0, fits)) + kEllipsis;
  }
  return std::string(text);
}

}  // namespace yoke::engine
