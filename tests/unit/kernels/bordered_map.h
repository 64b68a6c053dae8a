// What tests of convolutions of either type have in common.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "server/engine/kernels/convolution.h"

namespace yoke::engine::kernels {

// A map with zeros around it, as wide a border as convolutions may read.
template <typename T>
struct BorderedMap {
  BorderedMap(int64_t height, int64_t width, int64_t channels)
      : memory(static_cast<size_t>((height + 5) * (width + 5) * channels)),
        map{memory.data() + (width + 6) * channels,
            height,
            width,
            channels,
            channels,
            (width + 5) * channels} {}
  T& At(int64_t i, int64_t j, int64_t c) { return map.at[i * map.row + j * map.step + c]; }
  std::vector<T> memory;
  MapOf<T> map;
};

// Channel o of pixel (i, j) in double; x(i, j, c): the input, of height x width pixels.
template <typename Input>
double ConvolvedAt(const Convolution::Shape& shape, int64_t height, int64_t width, const Input& x,
                   const std::vector<float>& weights, const std::vector<float>& bias, int64_t i,
                   int64_t j, int64_t o) {
  const auto [in, out, kernel, stride, silu] = shape;
  double sum = bias[static_cast<size_t>(o)];
  for (int64_t a = 0; a < kernel; ++a) {
    for (int64_t b = 0; b < kernel; ++b) {
      const int64_t row = i * stride + a - kernel / 2, column = j * stride + b - kernel / 2;
      if (row < 0 || column < 0 || row >= height || column >= width) continue;
      for (int64_t c = 0; c < in; ++c) {
        sum += static_cast<double>(x(row, column, c)) *
               weights[static_cast<size_t>(((o * in + c) * kernel + a) * kernel + b)];
      }
    }
  }
  return silu ? sum / (1 + std::exp(-sum)) : sum;
}

}  // namespace yoke::engine::kernels
