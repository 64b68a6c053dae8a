// The innermost loops of convolutions on CPUs, in float32, part of vector_loops.h. A map is pixels
// of channels: neighbouring pixels of a row lie `step` values apart, so a map may be a slice of the
// channels of a wider one.
#pragma once

#include <cstdint>

namespace yoke::engine::kernels {

// Channel counts are multiples of it.
inline constexpr int64_t kChannelStep = 16;

// A row of output pixels: y = act(bias + sum over taps and input channels of w x).
struct ConvRow {
  const float* x = nullptr;
  int64_t x_step = 0;             // between the inputs of neighbouring outputs
  const int64_t* taps = nullptr;  // where each tap of the first pixel lies, from x
  int64_t tap_count = 0;
  int64_t in = 0;  // channels at each tap; any number
  const float* weights =
      nullptr;  // by block of output channels (see BlockVectors), tap, input channel
  const float* bias = nullptr;  // by output channel; null: zeros
  float* y = nullptr;
  int64_t y_step = 0;
  int64_t count = 0;  // pixels
  int64_t out = 0;    // output channels
  bool silu = false;  // act is z sigmoid(z), else z
};

// Winograd's F(4x4, 3x3) (Lavin and Gray, 2016): a tile of 4 x 4 outputs from 6 x 6 inputs by 36
// products instead of 144.
inline constexpr int kTileOut = 4, kTileIn = 6, kTileProducts = kTileIn * kTileIn;

// u[k][c] = (B' d B)[k] of the 6 x 6 pixels at x.
struct TileInput {
  const float* x = nullptr;
  int64_t x_step = 0, x_row = 0;
  int64_t channels = 0;
  float* u = nullptr;
  int64_t u_step = 0;  // between the values of two k
};

// y = act(bias + A' m A) + add, its first `rows` x `columns` pixels.
struct TileOutput {
  const float* m = nullptr;
  int64_t m_step = 0;  // between the values of two k
  int64_t channels = 0;
  const float* bias = nullptr;
  const float* add = nullptr;  // may be null
  int64_t add_step = 0, add_row = 0;
  float* y = nullptr;
  int64_t y_step = 0, y_row = 0;
  int rows = kTileOut, columns = kTileOut;
  bool silu = false;
};

struct ConvLoops {
  int vector;     // floats in one
  int block_max;  // vectors of output channels worked on at once
  void (*row)(const ConvRow& row);
  void (*tile_input)(const TileInput& tile);
  void (*tile_output)(const TileOutput& tile);
  // Planes of bytes -> pixels of three channels in [0, 1].
  void (*pixels_of_planes)(const uint8_t* const planes[3], int64_t count, float* pixels);
  // y = the larger of x and y
  void (*larger)(const float* x, int64_t count, float* y);
  bool (*any_above)(const float* x, int64_t count, float limit);
};

// Output channels are cut into blocks of nearly equal size: the vectors in the next one of `left`.
constexpr int64_t BlockVectors(int64_t left, int64_t block_max) {
  const int64_t blocks = (left + block_max - 1) / block_max;
  return (left + blocks - 1) / blocks;
}

}  // namespace yoke::engine::kernels
