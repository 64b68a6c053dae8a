#include "server/engine/kernels/tile_convolution.h"

#include <algorithm>

namespace yoke::engine::kernels {
namespace {

constexpr int64_t kBlock = 2 * kTileSide;  // pixels, and output channels, worked on at once

#include "server/engine/kernels/vector_math.inc"

void FinishBy(const TileLoops& loops, const TileFinish<BFloat16>& finish) { loops.finish(finish); }
void FinishBy(const TileLoops& loops, const TileFinish<float>& finish) {
  loops.finish_float(finish);
}

}  // namespace

TileConvolution::TileConvolution(const Shape& shape, const float* weights, const float* bias,
                                 const TileLoops& loops)
    : shape_(shape), loops_(&loops), bias_(static_cast<size_t>(out_channels())) {
  const int64_t in = PaddedChannels(shape.in);
  // Of an image the pixels of a row of taps lie side by side: they are one tap of their channels.
  tap_count_ = of_image() ? shape.kernel : shape.kernel * shape.kernel;
  depth_ = in % 32 == 0 ? 32 : 16;
  blocks_ = in / depth_;
  std::copy(bias, bias + shape.out, bias_.begin());
  Pack(weights);
}

void TileConvolution::Pack(const float* weights) {
  const int64_t kernel = shape_.kernel;
  const auto value = [&](int64_t o, int64_t t, int64_t c) {
    int64_t tap = t, channel = c;
    if (of_image()) {
      if (c / kImageChannels >= kernel) return 0.0f;
      tap = t * kernel + c / kImageChannels, channel = c % kImageChannels;
    }
    if (o >= shape_.out || channel >= shape_.in) return 0.0f;
    return weights[(o * shape_.in + channel) * kernel * kernel + tap];
  };
  const int64_t out = out_channels();
  weights_.reserve(static_cast<size_t>(out * tap_count_ * blocks_ * depth_));
  for (int64_t first = 0; first < out; first += kBlock) {
    const int64_t behind = std::min(first + kBlock, out);
    for (int64_t t = 0; t < tap_count_; ++t) {
      for (int64_t b = 0; b < blocks_; ++b) {
        for (int64_t tile = first; tile < behind; tile += kTileSide) {
          for (int64_t c = b * depth_; c < (b + 1) * depth_; c += 2) {
            for (int64_t o = tile; o < tile + kTileSide; ++o) {
              Store(value(o, t, c), weights_.emplace_back());
              Store(value(o, t, c + 1), weights_.emplace_back());
            }
          }
        }
      }
    }
  }
}

std::vector<int64_t> TileConvolution::Taps(const MapOf<const BFloat16>& x) const {
  std::vector<int64_t> taps;
  const int64_t reach = shape_.kernel / 2;
  for (int64_t i = -reach; i <= reach; ++i) {
    for (int64_t j = -reach; j <= (of_image() ? -reach : reach); ++j)
      taps.push_back(i * x.row + j * x.step);
  }
  return taps;
}

void TileConvolution::Run(const MapOf<const BFloat16>& x, const MapOf<BFloat16>& y,
                          const MapOf<const BFloat16>* add) const {
  RunTo(x, y, add);
}
void TileConvolution::Run(const MapOf<const BFloat16>& x, const MapOf<float>& y,
                          const MapOf<const BFloat16>* add) const {
  RunTo(x, y, add);
}

// With a stride of 1 all pixels of a map lie evenly, those around it too: they are worked on as one
// row, and what comes of those around is left out. A narrow map's tiles would be half empty
// otherwise.
template <typename T>
void TileConvolution::RunTo(const MapOf<const BFloat16>& x, const MapOf<T>& y,
                            const MapOf<const BFloat16>* add) const {
  alignas(64) float sums[kBlock * kBlock];
  const std::vector<int64_t> taps = Taps(x);
  const bool as_one_row = shape_.stride == 1;
  const int64_t pitch = as_one_row ? x.row / x.step : y.width;  // pixels from row to row
  const int64_t rows = as_one_row ? 1 : y.height, per_row = as_one_row ? y.height * pitch : y.width;
  TileProducts products;
  products.x_step = shape_.stride * x.step;
  products.taps = taps.data();
  products.tap_count = tap_count_;
  products.depth = depth_;
  products.blocks = blocks_;
  products.weights = weights_.data();
  products.sums = sums;
  TileFinish<T> finish;
  finish.silu = shape_.silu;
  finish.y_step = y.step;
  loops_->begin(depth_);
  for (int64_t channel = 0; channel < out_channels(); channel += kBlock) {
    const int64_t channels = std::min(kBlock, out_channels() - channel);
    finish.bias = bias_.data() + channel;
    finish.channels = finish.sums_step = channels;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t first = 0; first < per_row; first += kBlock) {
        const int64_t behind = std::min(first + kBlock, per_row);
        products.x = x.at + row * shape_.stride * x.row + first * products.x_step;
        loops_->products[behind - first > kTileSide][channels > kTileSide](products);
        for (int64_t p = first; p < behind;) {
          const int64_t i = row + p / pitch, j = p % pitch;
          const int64_t next = std::min(behind, p - j + pitch);
          if (j < y.width) {
            finish.sums = sums + (p - first) * channels;
            finish.count = std::min(next - p, y.width - j);
            finish.y = y.at + i * y.row + j * y.step + channel;
            if (add != nullptr) {
              finish.add = add->at + i * add->row + j * add->step + channel;
              finish.add_step = add->step;
            }
            FinishBy(*loops_, finish);
          }
          p = next;
        }
      }
    }
    products.weights += channels * tap_count_ * blocks_ * depth_;
  }
  loops_->end();
}

}  // namespace yoke::engine::kernels
