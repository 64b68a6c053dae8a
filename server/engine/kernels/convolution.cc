#include "server/engine/kernels/convolution.h"

#include <algorithm>

namespace yoke::engine::kernels {
namespace {

// What a group of tiles may take beside the weights: a share of a core's own cache.
constexpr int64_t kTileBytes = 640 << 10;
constexpr int64_t kTilesMin = 12;

// Puts value(output channel, tap, input channel) in the order in which the loops read.
template <typename Value>
void Pack(const ConvLoops& loops, int64_t out, int64_t taps, int64_t in, const Value& value,
          float* packed) {
  for (int64_t channel = 0; channel < out;) {
    const int64_t block =
        BlockVectors((out - channel) / loops.vector, loops.block_max) * loops.vector;
    for (int64_t t = 0; t < taps; ++t) {
      for (int64_t c = 0; c < in; ++c) {
        for (int64_t o = 0; o < block; ++o) *packed++ = value(channel + o, t, c);
      }
    }
    channel += block;
  }
}

// G of F(4x4, 3x3).
constexpr double kFilter[kTileIn][3] = {{1.0 / 4, 0, 0},
                                        {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                        {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                        {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                        {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                        {0, 0, 1}};

// G w G'
void TransformFilter(const float* w, double (&u)[kTileProducts]) {
  for (int i = 0; i < kTileIn; ++i) {
    double row[3];
    for (int b = 0; b < 3; ++b)
      row[b] = kFilter[i][0] * w[b] + kFilter[i][1] * w[3 + b] + kFilter[i][2] * w[6 + b];
    for (int j = 0; j < kTileIn; ++j)
      u[kTileIn * i + j] = row[0] * kFilter[j][0] + row[1] * kFilter[j][1] + row[2] * kFilter[j][2];
  }
}

}  // namespace

Convolution::Convolution(const Shape& shape, const float* weights, const float* bias,
                         const VectorLoops& loops)
    : shape_(shape),
      loops_(&loops.conv),
      in_(in_tiles() ? PaddedChannels(shape.in) : shape.in),
      bias_(out_channels()) {
  std::copy(bias, bias + shape.out, bias_.begin());
  in_tiles() ? PackTiles(weights) : PackRows(weights);
}

void Convolution::PackRows(const float* weights) {
  const int64_t taps = shape_.kernel * shape_.kernel;
  weights_.resize(out_channels() * taps * in_);
  const auto value = [&](int64_t o, int64_t t, int64_t c) {
    return o < shape_.out && c < shape_.in ? weights[(o * shape_.in + c) * taps + t] : 0.0f;
  };
  Pack(*loops_, out_channels(), taps, in_, value, weights_.data());
}

void Convolution::PackTiles(const float* weights) {
  const int64_t plane = out_channels() * in_;
  std::vector<float> planes(kTileProducts * plane);
  for (int64_t o = 0; o < shape_.out; ++o) {
    for (int64_t c = 0; c < shape_.in; ++c) {
      double u[kTileProducts];
      TransformFilter(weights + (o * shape_.in + c) * 9, u);
      for (int k = 0; k < kTileProducts; ++k)
        planes[k * plane + o * in_ + c] = static_cast<float>(u[k]);
    }
  }
  weights_.resize(planes.size());
  for (int k = 0; k < kTileProducts; ++k) {
    const auto value = [&](int64_t o, int64_t, int64_t c) {
      return planes[k * plane + o * in_ + c];
    };
    Pack(*loops_, out_channels(), 1, in_, value, weights_.data() + k * plane);
  }
}

void Convolution::Run(const ConstMap& x, const Map& y, const ConstMap* add,
                      std::vector<float>& scratch) const {
  if (in_tiles()) {
    RunTiles(x, y, add, scratch);
  } else {
    RunRows(x, y);
  }
}

void Convolution::RunRows(const ConstMap& x, const Map& y) const {
  std::vector<int64_t> taps;
  const int64_t reach = shape_.kernel / 2;
  for (int64_t i = -reach; i <= reach; ++i) {
    for (int64_t j = -reach; j <= reach; ++j) taps.push_back(i * x.row + j * x.step);
  }
  ConvRow row;
  row.x_step = shape_.stride * x.step;
  row.taps = taps.data();
  row.tap_count = static_cast<int64_t>(taps.size());
  row.in = in_;
  row.weights = weights_.data();
  row.bias = bias_.data();
  row.y_step = y.step;
  row.count = y.width;
  row.out = out_channels();
  row.silu = shape_.silu;
  for (int64_t i = 0; i < y.height; ++i) {
    row.x = x.at + i * shape_.stride * x.row;
    row.y = y.at + i * y.row;
    loops_->row(row);
  }
}

void Convolution::RunTiles(const ConstMap& x, const Map& y, const ConstMap* add,
                           std::vector<float>& scratch) const {
  const int64_t out = out_channels();
  const int64_t across = (y.width + kTileOut - 1) / kTileOut,
                down = (y.height + kTileOut - 1) / kTileOut;
  const int64_t tiles = across * down;
  const int64_t bytes_each = kTileProducts * (in_ + out) * static_cast<int64_t>(sizeof(float));
  const int64_t group_max = BlockVectors(tiles, std::max(kTileBytes / bytes_each, kTilesMin));
  if (static_cast<int64_t>(scratch.size()) < kTileProducts * (in_ + out) * group_max)
    scratch.resize(kTileProducts * (in_ + out) * group_max);
  float* const u = scratch.data();
  float* const m = u + kTileProducts * in_ * group_max;
  const int64_t no_offset = 0;
  for (int64_t first = 0; first < tiles; first += group_max) {
    const int64_t group = std::min(group_max, tiles - first);
    for (int64_t t = 0; t < group; ++t) {
      const int64_t i = (first + t) / across * kTileOut, j = (first + t) % across * kTileOut;
      loops_->tile_input({x.at + (i - 1) * x.row + (j - 1) * x.step, x.step, x.row, in_,
                          u + t * in_, group * in_});
    }
    ConvRow row;
    row.x_step = in_;
    row.taps = &no_offset;
    row.tap_count = 1;
    row.in = in_;
    row.y_step = out;
    row.count = group;
    row.out = out;
    for (int k = 0; k < kTileProducts; ++k) {
      row.x = u + k * group * in_;
      row.weights = weights_.data() + k * out * in_;
      row.y = m + k * group * out;
      loops_->row(row);
    }
    for (int64_t t = 0; t < group; ++t) {
      const int64_t i = (first + t) / across * kTileOut, j = (first + t) % across * kTileOut;
      TileOutput tile;
      tile.m = m + t * out;
      tile.m_step = group * out;
      tile.channels = out;
      tile.bias = bias_.data();
      if (add != nullptr) {
        tile.add = add->at + i * add->row + j * add->step;
        tile.add_step = add->step, tile.add_row = add->row;
      }
      tile.y = y.at + i * y.row + j * y.step;
      tile.y_step = y.step, tile.y_row = y.row;
      tile.rows = static_cast<int>(std::min<int64_t>(kTileOut, y.height - i));
      tile.columns = static_cast<int>(std::min<int64_t>(kTileOut, y.width - j));
      tile.silu = shape_.silu;
      loops_->tile_output(tile);
    }
  }
}

}  // namespace yoke::engine::kernels
