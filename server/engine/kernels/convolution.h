// Convolutions for inference on CPUs, float32, one image and one thread each: weights are put in
// order once, bias, SiLU and a residual are part of the convolution, and input and output may be
// slices of the channels of a wider map, so that nothing is ever concatenated.
#pragma once

#include <cstdint>
#include <vector>

#include "server/engine/kernels/vector_loops.h"

namespace yoke::engine::kernels {

// How far behind the last row and column of a map its zeros reach; before the first, one row and
// column.
inline constexpr int64_t kBorderBehind = 4;

// H x W pixels of `channels` values.
template <typename T>
struct MapOf {
  T* at = nullptr;  // the first pixel
  int64_t height = 0, width = 0, channels = 0;
  int64_t step = 0, row = 0;  // values between neighbours in a row, and between rows

  MapOf Slice(int64_t first, int64_t count) const {
    MapOf slice = *this;
    slice.at += first;
    slice.channels = count;
    return slice;
  }
  operator MapOf<const T>() const { return {at, height, width, channels, step, row}; }
};
using Map = MapOf<float>;
using ConstMap = MapOf<const float>;

// A multiple of kChannelStep, not below `channels`.
constexpr int64_t PaddedChannels(int64_t channels) {
  return (channels + kChannelStep - 1) / kChannelStep * kChannelStep;
}

class Convolution {
 public:
  using Value = float;

  // Odd `kernel`, padding kernel / 2. weights: (out, in, kernel, kernel); bias: (out).
  struct Shape {
    int64_t in = 0, out = 0, kernel = 1, stride = 1;
    bool silu = false;
  };
  Convolution(const Shape& shape, const float* weights, const float* bias,
              const VectorLoops& loops = Loops());

  // y = act(conv(x) + bias) + add; null adds nothing. x has PaddedChannels(in) channels, or just
  // `in` with a stride of 2, and zeros around it if the kernel is larger than a pixel; y and add
  // have PaddedChannels(out). `scratch` is grown as needed. REQUIRES: y does not overlap x; no
  // `add` unless the kernel is 3 and the stride 1.
  void Run(const ConstMap& x, const Map& y, const ConstMap* add, std::vector<float>& scratch) const;

  int64_t out_channels() const { return PaddedChannels(shape_.out); }
  const Shape& shape() const { return shape_; }

 private:
  bool in_tiles() const { return shape_.kernel == 3 && shape_.stride == 1; }
  void PackRows(const float* weights);
  void PackTiles(const float* weights);
  void RunRows(const ConstMap& x, const Map& y) const;
  void RunTiles(const ConstMap& x, const Map& y, const ConstMap* add,
                std::vector<float>& scratch) const;

  Shape shape_;
  const ConvLoops* loops_;
  int64_t in_;  // channels that are read
  std::vector<float> weights_, bias_;
};

}  // namespace yoke::engine::kernels
