#include "server/engine/kernels/bn_silu.h"

#include <algorithm>
#include <vector>

namespace yoke::engine::kernels {
namespace {

// Values treated as one long row: whole pixels, so that narrow maps fill wide registers too.
constexpr int64_t kRowMin = 256;
// Rows summed in float before they are added to the sums in double.
constexpr int64_t kRowsInFloat = 256;

// How many pixels make a long row; 1 where rows do not touch.
template <typename... R>
int64_t PixelsPerRow(int64_t channels, const R&... rows) {
  const bool dense = ((rows.stride == channels) && ...);
  return dense ? std::max<int64_t>(kRowMin / channels, 1) : 1;
}

// The coefficients of the channels, repeated for `pixels` pixels.
std::vector<float> Repeat(const float* values, int64_t channels, int64_t pixels) {
  std::vector<float> repeated;
  repeated.reserve(static_cast<size_t>(channels * pixels));
  for (int64_t p = 0; p < pixels; ++p) repeated.insert(repeated.end(), values, values + channels);
  return repeated;
}

// Calls row(first pixel, values) for long rows of `per_row` pixels, the last one shorter.
template <typename Row>
void ForRows(int64_t pixels, int64_t channels, int64_t per_row, const Row& row) {
  for (int64_t p = 0; p < pixels; p += per_row) row(p, std::min(per_row, pixels - p) * channels);
}

// Two sums over pixels for each channel. Row(first pixel, values, first sum, second sum) adds in
// float.
template <typename Row>
void SumRows(int64_t pixels, int64_t channels, int64_t per_row, double* first, double* second,
             const Row& row) {
  std::vector<float> a(static_cast<size_t>(channels * per_row)), b(a.size());
  int64_t rows = 0;
  const auto flush = [&] {
    for (int64_t p = 0, i = 0; p < per_row; ++p) {
      for (int64_t c = 0; c < channels; ++c, ++i) {
        first[c] += a[static_cast<size_t>(i)];
        second[c] += b[static_cast<size_t>(i)];
      }
    }
    std::fill(a.begin(), a.end(), 0.0f);
    std::fill(b.begin(), b.end(), 0.0f);
    rows = 0;
  };
  ForRows(pixels, channels, per_row, [&](int64_t p, int64_t count) {
    row(p, count, a.data(), b.data());
    if (++rows == kRowsInFloat) flush();
  });
  flush();
}

}  // namespace

template <typename T>
void BnSums(const Rows<const T>& x, const float* shift, double* sum, double* sum_of_squares) {
  const int64_t per_row = PixelsPerRow(x.channels, x);
  const std::vector<float> shifts = Repeat(shift, x.channels, per_row);
  SumRows(x.pixels, x.channels, per_row, sum, sum_of_squares,
          [&](int64_t p, int64_t count, float* s, float* q) {
            LoopsOf<T>().bn_silu.sums(x.data + p * x.stride, shifts.data(), count, s, q);
          });
}

template <typename T>
void BnSiluForward(const Rows<const T>& x, const float* a, const float* b, const Rows<T>& y) {
  const int64_t per_row = PixelsPerRow(x.channels, x, y);
  const std::vector<float> as = Repeat(a, x.channels, per_row), bs = Repeat(b, x.channels, per_row);
  ForRows(x.pixels, x.channels, per_row, [&](int64_t p, int64_t count) {
    LoopsOf<T>().bn_silu.forward(x.data + p * x.stride, as.data(), bs.data(), count,
                                 y.data + p * y.stride);
  });
}

template <typename T>
void BnSiluBackwardSums(const Rows<const T>& grad_y, const Rows<const T>& x, const float* a,
                        const float* b, const float* mean, double* sum_d, double* sum_dx) {
  const int64_t per_row = PixelsPerRow(x.channels, grad_y, x);
  const std::vector<float> as = Repeat(a, x.channels, per_row), bs = Repeat(b, x.channels, per_row),
                           means = Repeat(mean, x.channels, per_row);
  SumRows(x.pixels, x.channels, per_row, sum_d, sum_dx,
          [&](int64_t p, int64_t count, float* sd, float* sx) {
            LoopsOf<T>().bn_silu.backward_sums(grad_y.data + p * grad_y.stride,
                                               x.data + p * x.stride, as.data(), bs.data(),
                                               means.data(), count, sd, sx);
          });
}

template <typename T>
void BnSiluBackward(const Rows<const T>& grad_y, const Rows<const T>& x, const float* a,
                    const float* b, const float* k0, const float* k1, const Rows<T>& grad_x) {
  const int64_t per_row = PixelsPerRow(x.channels, grad_y, x, grad_x);
  const std::vector<float> as = Repeat(a, x.channels, per_row), bs = Repeat(b, x.channels, per_row),
                           k0s = Repeat(k0, x.channels, per_row),
                           k1s = Repeat(k1, x.channels, per_row);
  ForRows(x.pixels, x.channels, per_row, [&](int64_t p, int64_t count) {
    LoopsOf<T>().bn_silu.backward(grad_y.data + p * grad_y.stride, x.data + p * x.stride, as.data(),
                                  bs.data(), k0s.data(), k1s.data(), count,
                                  grad_x.data + p * grad_x.stride);
  });
}

#define YOKE_INSTANTIATE(T)                                                                      \
  template void BnSums(const Rows<const T>&, const float*, double*, double*);                    \
  template void BnSiluForward(const Rows<const T>&, const float*, const float*, const Rows<T>&); \
  template void BnSiluBackwardSums(const Rows<const T>&, const Rows<const T>&, const float*,     \
                                   const float*, const float*, double*, double*);                \
  template void BnSiluBackward(const Rows<const T>&, const Rows<const T>&, const float*,         \
                               const float*, const float*, const float*, const Rows<T>&);
YOKE_INSTANTIATE(float)
YOKE_INSTANTIATE(BFloat16)
#undef YOKE_INSTANTIATE

}  // namespace yoke::engine::kernels
