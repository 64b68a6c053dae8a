#include "server/engine/data/augment/warp.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "opencv2/core/hal/intrin.hpp"
#include "opencv2/imgproc.hpp"

namespace yoke::engine {
namespace {

// cv::warpAffine's arithmetic: positions in 1/1024 px, rounded to 1/32; weights in 1/1024.
constexpr int kFineBits = 10, kCoarseBits = 5, kCoarse = 1 << kCoarseBits;
constexpr double kStepMax = 100;  // source px a result px; beyond it positions might overflow

// Source positions along one axis.
struct Axis {
  std::vector<int> whole;     // left (upper) of the two source px
  std::vector<int> fraction;  // 1/32 of the way to the other
};

// Of result px x the source position is (x - shift) / scale. Whole parts beyond the source are
// moved to just beyond.
Axis Positions(double inverse, double offset, int count, int source, bool one_rounding) {
  Axis axis;
  const int half = 1 << (kFineBits - kCoarseBits - 1);
  const auto fine = [](double v) { return cvRound(v * (1 << kFineBits)); };
  for (int i = 0; i < count; ++i) {
    const int at =
        one_rounding ? fine(inverse * i + offset) + half : fine(offset) + half + fine(inverse * i);
    const int coarse = at >> (kFineBits - kCoarseBits);
    axis.whole.push_back(std::clamp(coarse >> kCoarseBits, -2, source));
    axis.fraction.push_back(coarse & (kCoarse - 1));
  }
  return axis;
}

// One row of a canvas at a time, with two px of padding on either side.
class CanvasRows {
 public:
  CanvasRows(const Scene& scene, int first, int last)
      : scene_(scene),
        first_(std::max(first, 0)),
        last_(std::min(last, scene.size.width)),
        row_(static_cast<size_t>(3 * (scene.size.width + kEdge * 2) + 8), kPadding) {}

  // The pixel of column x is at At() + 3 * x, for x from -2 to the canvas' width + 1. False: a row
  // of padding.
  bool Compose(int y) {
    if (y < 0 || y >= scene_.size.height || first_ >= last_) return false;
    std::memset(row_.data() + 3 * (kEdge + first_), kPadding,
                static_cast<size_t>(3 * (last_ - first_)));
    bool any = false;
    for (const PlacedImage& image : scene_.images) {
      const cv::Rect& place = image.place;
      const int begin = std::max(place.x, first_), end = std::min(place.x + place.width, last_);
      if (y < place.y || y >= place.y + place.height || begin >= end || image.bgr.empty()) continue;
      std::memcpy(row_.data() + 3 * (kEdge + begin),
                  image.bgr.ptr(y - place.y) + 3 * (begin - place.x),
                  static_cast<size_t>(3 * (end - begin)));
      any = true;
    }
    return any;
  }
  const uint8_t* At() const { return row_.data() + 3 * kEdge; }

 private:
  static constexpr int kEdge = 2;
  const Scene& scene_;
  const int first_, last_;  // columns that are read
  std::vector<uint8_t> row_;
};

// A canvas row at the result's columns: four values a px (the fourth idle), each 32 times the
// channel's.
void StretchRow(const uint8_t* row, const Axis& columns, const std::vector<uint16_t>& fractions,
                uint16_t* out) {
  const cv::v_uint16x8 all = cv::v_setall_u16(kCoarse);
  for (size_t x = 0; x < columns.whole.size(); ++x, out += 4) {
    const cv::v_uint16x8 both =
        cv::v_load_expand(row + 3 * columns.whole[x]);  // two px: b g r b g r
    const cv::v_uint16x8 right = cv::v_rotate_right<3>(both);
    const uint16_t* part = fractions.data() + 4 * x;
    const cv::v_uint16x8 share = cv::v_load_halves(part, part);
    cv::v_store_low(out, cv::v_mul_wrap(both, all - share) + cv::v_mul_wrap(right, share));
  }
}

// (upper * (32 - fraction) + lower * fraction + 512) / 1024, in 16 bits. REQUIRES: 16 divides
// `count`.
void BlendRows(const uint16_t* upper, const uint16_t* lower, int fraction, size_t count,
               uint8_t* out) {
  const cv::v_int16x8 share = cv::v_setall_s16(static_cast<int16_t>(fraction << kFineBits));
  const cv::v_int16x8 half = cv::v_setall_s16(kCoarse / 2);
  const auto blend = [&](size_t i) {
    const cv::v_int16x8 a = cv::v_load(reinterpret_cast<const int16_t*>(upper + i));
    const cv::v_int16x8 d = cv::v_load(reinterpret_cast<const int16_t*>(lower + i)) - a;
    return (a + cv::v_mul_hi(d + d, share) + half) >> kCoarseBits;
  };
  for (size_t i = 0; i < count; i += 16) cv::v_store(out + i, cv::v_pack_u(blend(i), blend(i + 8)));
}

bool KeepsAxes(const Affine& affine) {
  const cv::Matx33d& m = affine.matrix;
  return !affine.perspective && m(0, 1) == 0 && m(1, 0) == 0 && m(0, 0) * kStepMax > 1 &&
         m(1, 1) * kStepMax > 1;
}

void WarpByRows(const Scene& scene, const cv::Matx33d& m, cv::Size to, cv::Mat& out) {
  // The inverse, step by step as cv::warpAffine works it out.
  const double d = 1 / (m(0, 0) * m(1, 1));
  const double inverse_x = m(1, 1) * d, inverse_y = m(0, 0) * d;
  const Axis columns =
      Positions(inverse_x, -inverse_x * m(0, 2), to.width, scene.size.width, false);
  const Axis rows = Positions(inverse_y, -inverse_y * m(1, 2), to.height, scene.size.height, true);
  std::vector<uint16_t> fractions;
  for (int fraction : columns.fraction)
    fractions.insert(fractions.end(), 4, static_cast<uint16_t>(fraction));

  const size_t values = 4 * static_cast<size_t>(to.width);
  std::array<std::vector<uint16_t>, 2> stretched{std::vector<uint16_t>(values),
                                                 std::vector<uint16_t>(values)};
  std::array<int, 2> held{-3, -3};  // which canvas rows these are
  CanvasRows canvas(scene, columns.whole.front(), columns.whole.back() + 2);
  const auto row = [&](int y) {
    const auto slot = static_cast<size_t>(y & 1);
    if (held[slot] != y) {
      if (canvas.Compose(y)) {
        StretchRow(canvas.At(), columns, fractions, stretched[slot].data());
      } else {
        std::fill(stretched[slot].begin(), stretched[slot].end(), uint16_t{kPadding * kCoarse});
      }
      held[slot] = y;
    }
    return stretched[slot].data();
  };
  for (int y = 0; y < to.height; ++y) {
    const int whole = rows.whole[static_cast<size_t>(y)];
    const uint16_t* upper = row(whole);
    BlendRows(upper, row(whole + 1), rows.fraction[static_cast<size_t>(y)], values, out.ptr(y));
  }
}

}  // namespace

cv::Rect VisiblePart(cv::Size canvas, const Affine& affine, cv::Size to) {
  const cv::Rect all({0, 0}, canvas);
  if (affine.perspective || cv::determinant(affine.matrix) == 0) return all;
  const cv::Matx33d inverse = affine.matrix.inv();
  double x1 = INFINITY, y1 = INFINITY, x2 = -INFINITY, y2 = -INFINITY;
  for (const auto& [x, y] :
       {std::array{0, 0}, {to.width, 0}, {0, to.height}, {to.width, to.height}}) {
    const cv::Vec3d p = inverse * cv::Vec3d(x, y, 1);
    x1 = std::min(x1, p[0]), x2 = std::max(x2, p[0]);
    y1 = std::min(y1, p[1]), y2 = std::max(y2, p[1]);
  }
  const auto px = [&](double v, int side) {
    return static_cast<int>(std::clamp(v, 0.0, static_cast<double>(side)));
  };
  const cv::Point first(px(x1 - 2, canvas.width), px(y1 - 2, canvas.height));
  const cv::Point last(px(x2 + 3, canvas.width), px(y2 + 3, canvas.height));
  return cv::Rect(first, last);
}

void Warp(const Scene& scene, const Affine& affine, cv::Size to, cv::Mat& out) {
  out.create(to, CV_8UC4);
  if (KeepsAxes(affine) && to.width % 4 == 0) {
    WarpByRows(scene, affine.matrix, to, out);
    return;
  }
  thread_local cv::Mat canvas, warped;  // several MB, kept for the next image
  Draw(scene, VisiblePart(scene.size, affine, to), canvas);
  const cv::Scalar padding = cv::Scalar::all(kPadding);
  if (affine.perspective) {
    cv::warpPerspective(canvas, warped, affine.matrix, to, cv::INTER_LINEAR, cv::BORDER_CONSTANT,
                        padding);
  } else {
    cv::warpAffine(canvas, warped, affine.matrix.get_minor<2, 3>(0, 0), to, cv::INTER_LINEAR,
                   cv::BORDER_CONSTANT, padding);
  }
  cv::cvtColor(warped, out, cv::COLOR_BGR2BGRA);
}

}  // namespace yoke::engine
