// Convolutions for inference on CPUs in bfloat16 by products of tiles, one image and one thread each,
// with what Convolution has: bias, SiLU and a residual, and slices of wider maps. Weights and what
// lies between convolutions are bfloat16, sums and what follows them up to a map are float32.
#pragma once

#include <cstdint>
#include <vector>

#include "server/engine/kernels/convolution.h"
#include "server/engine/kernels/tile_loops.h"

namespace yoke::engine::kernels {

class TileConvolution {
 public:
  using Value = BFloat16;
  using Shape = Convolution::Shape;

  // As Convolution's. REQUIRES: a kernel of 3 for 3 input channels.
  TileConvolution(const Shape& shape, const float* weights, const float* bias,
                  const TileLoops& loops);

  // y = act(conv(x) + bias) + add; null adds nothing. x has PaddedChannels(in) channels, or, if
  // they are 3, kImageChannels, and zeros around it; y and add have PaddedChannels(out). Memory
  // that is read beyond x's pixels, up to kBorderBehind rows, has to hold numbers. REQUIRES: y does
  // not overlap x, and is as wide as the stride makes it; x's rows lie whole pixels apart.
  void Run(const MapOf<const BFloat16>& x, const MapOf<BFloat16>& y,
           const MapOf<const BFloat16>* add) const;
  void Run(const MapOf<const BFloat16>& x, const MapOf<float>& y,
           const MapOf<const BFloat16>* add) const;

  int64_t out_channels() const { return PaddedChannels(shape_.out); }
  const TileLoops& loops() const { return *loops_; }

 private:
  bool of_image() const { return shape_.in == 3; }
  void Pack(const float* weights);
  std::vector<int64_t> Taps(const MapOf<const BFloat16>& x) const;
  template <typename T>
  void RunTo(const MapOf<const BFloat16>& x, const MapOf<T>& y,
             const MapOf<const BFloat16>* add) const;

  Shape shape_;
  const TileLoops* loops_;
  int64_t tap_count_, depth_, blocks_;  // see TileProducts
  std::vector<BFloat16> weights_;
  std::vector<float> bias_;
};

}  // namespace yoke::engine::kernels
