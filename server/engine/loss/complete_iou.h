// Complete IoU (Distance-IoU, arXiv 1911.08287) of two boxes, with the reference's constants, in
// any arithmetic: in Dual<N> it comes with its derivatives.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace yoke::engine {

// A value and its derivatives by N variables.
template <size_t N>
struct Dual {
  float value = 0;
  std::array<float, N> slope = {};

  Dual(float constant) : value(constant) {}  // NOLINT: constants mix with variables
  Dual(float v, size_t variable) : value(v) { slope[variable] = 1; }

  // f(this), given f and f' there.
  Dual Through(float f, float derivative) const {
    Dual out(f);
    for (size_t i = 0; i < N; ++i) out.slope[i] = slope[i] * derivative;
    return out;
  }
  // g(a, b), given g and its derivatives by a and b.
  static Dual Join(const Dual& a, const Dual& b, float g, float by_a, float by_b) {
    Dual out(g);
    for (size_t i = 0; i < N; ++i) out.slope[i] = a.slope[i] * by_a + b.slope[i] * by_b;
    return out;
  }
  friend Dual operator+(const Dual& a, const Dual& b) {
    return Join(a, b, a.value + b.value, 1, 1);
  }
  friend Dual operator-(const Dual& a, const Dual& b) {
    return Join(a, b, a.value - b.value, 1, -1);
  }
  friend Dual operator*(const Dual& a, const Dual& b) {
    return Join(a, b, a.value * b.value, b.value, a.value);
  }
  friend Dual operator/(const Dual& a, const Dual& b) {
    const float q = a.value / b.value;
    return Join(a, b, q, 1 / b.value, -q / b.value);
  }
};

// Of equal values each has half the derivative, as LibTorch's minimum and maximum have it.
inline float Least(float a, float b) { return a < b ? a : b; }
inline float Most(float a, float b) { return a < b ? b : a; }
inline float NotNegative(float a) { return a < 0 ? 0 : a; }
inline float ArcTangent(float a) { return std::atan(a); }
inline float Constant(float a) { return a; }
template <size_t N>
Dual<N> Least(const Dual<N>& a, const Dual<N>& b) {
  const float by_a = a.value == b.value ? 0.5f : a.value < b.value ? 1.0f : 0.0f;
  return Dual<N>::Join(a, b, Least(a.value, b.value), by_a, 1 - by_a);
}
template <size_t N>
Dual<N> Most(const Dual<N>& a, const Dual<N>& b) {
  const float by_a = a.value == b.value ? 0.5f : a.value > b.value ? 1.0f : 0.0f;
  return Dual<N>::Join(a, b, Most(a.value, b.value), by_a, 1 - by_a);
}
template <size_t N>
Dual<N> NotNegative(const Dual<N>& a) {
  return a.Through(NotNegative(a.value), a.value < 0 ? 0.0f : 1.0f);
}
template <size_t N>
Dual<N> ArcTangent(const Dual<N>& a) {
  return a.Through(std::atan(a.value), 1 / (1 + a.value * a.value));
}
template <size_t N>
Dual<N> Constant(const Dual<N>& a) {
  return Dual<N>(a.value);
}

template <typename Number>
struct BoxOf {
  Number x1, y1, x2, y2;
};

// At most 1, below 0 when far apart. A: arithmetic of the first box, B: of the second; one of them
// float or both the same.
template <typename Number>
Number CompleteIouOf(const BoxOf<Number>& a, const BoxOf<Number>& b) {
  constexpr float kEps = 1e-7f;
  // The reference adds eps to heights only.
  const Number aw = a.x2 - a.x1, ah = a.y2 - a.y1 + kEps;
  const Number bw = b.x2 - b.x1, bh = b.y2 - b.y1 + kEps;
  const Number overlap = NotNegative(Least(a.x2, b.x2) - Most(a.x1, b.x1)) *
                         NotNegative(Least(a.y2, b.y2) - Most(a.y1, b.y1));
  const Number iou = overlap / (aw * ah + bw * bh - overlap + kEps);
  const Number enclosing_w = Most(a.x2, b.x2) - Least(a.x1, b.x1);
  const Number enclosing_h = Most(a.y2, b.y2) - Least(a.y1, b.y1);
  const Number diagonal2 = enclosing_w * enclosing_w + enclosing_h * enclosing_h + kEps;
  const Number off_x = b.x1 + b.x2 - a.x1 - a.x2, off_y = b.y1 + b.y2 - a.y1 - a.y2;
  const Number distance2 = (off_x * off_x + off_y * off_y) * 0.25f;
  const Number angle = ArcTangent(bw / bh) - ArcTangent(aw / ah);
  const Number v = angle * angle * static_cast<float>(4 / (std::numbers::pi * std::numbers::pi));
  const Number alpha = Constant(v / (v - iou + (1 + kEps)));
  return iou - (distance2 / diagonal2 + v * alpha);
}

}  // namespace yoke::engine
