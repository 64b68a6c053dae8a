// BatchNorm and SiLU on rows of pixels, for CPUs. One thread each: callers share out the pixels.
//
// With mean m, inverse standard deviation r, weight g and bias h of a channel: z = a x + b where a
// = g r and b = h - m a, y = z sigmoid(z), and d = dL/dz.
#pragma once

#include <cstdint>

#include "server/engine/kernels/vector_loops.h"

namespace yoke::engine::kernels {

// `pixels` rows of `channels` values each, the first values of two rows `stride` values apart.
template <typename T>
struct Rows {
  T* data = nullptr;
  int64_t pixels = 0;
  int64_t channels = 0;
  int64_t stride = 0;
};

// T: float or BFloat16; arithmetic is in float, sums over pixels in double.

// Adds to sum[c] and sum_of_squares[c] those of x - shift[c]. A shift near the mean keeps the
// digits.
template <typename T>
void BnSums(const Rows<const T>& x, const float* shift, double* sum, double* sum_of_squares);

// y = silu(a x + b).
template <typename T>
void BnSiluForward(const Rows<const T>& x, const float* a, const float* b, const Rows<T>& y);

// Adds to sum_d[c] the sum of d, to sum_dx[c] that of d (x - mean[c]).
template <typename T>
void BnSiluBackwardSums(const Rows<const T>& grad_y, const Rows<const T>& x, const float* a,
                        const float* b, const float* mean, double* sum_d, double* sum_dx);

// grad_x = a d + k1 x + k0.
template <typename T>
void BnSiluBackward(const Rows<const T>& grad_y, const Rows<const T>& x, const float* a,
                    const float* b, const float* k0, const float* k1, const Rows<T>& grad_x);

}  // namespace yoke::engine::kernels
