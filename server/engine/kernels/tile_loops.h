// The innermost loops of convolutions on CPUs in bfloat16, by the products of tiles that some
// processors have (Intel AMX, TDPBF16PS: sums in float32). Maps are those of conv_loops.h.
#pragma once

#include <cstdint>

#include "server/engine/kernels/vector_loops.h"

namespace yoke::engine::kernels {

// Pixels of a tile, and output channels.
inline constexpr int64_t kTileSide = 16;
// Channels of a pixel of the network's input, the last of them zero.
inline constexpr int64_t kImageChannels = 4;

// Sums for up to two tiles of pixels by up to two tiles of output channels.
struct TileProducts {
  const BFloat16* x = nullptr;
  int64_t x_step = 0;             // between the inputs of neighbouring outputs
  const int64_t* taps = nullptr;  // where each tap of the first pixel lies, from x
  int64_t tap_count = 0;
  int64_t depth = 0;   // channels multiplied at once: 16 or 32
  int64_t blocks = 0;  // of `depth` channels, at each tap
  // By tap, block and tile of output channels: depth / 2 rows, each of 16 output channels' pairs.
  const BFloat16* weights = nullptr;
  float* sums = nullptr;  // (pixels, output channels), row by row, whole tiles
};

// y = act(sum + bias) + add for `count` neighbouring pixels.
template <typename T>
struct TileFinish {
  const float* sums = nullptr;
  int64_t sums_step = 0;
  const float* bias = nullptr;
  const BFloat16* add = nullptr;  // may be null
  int64_t add_step = 0;
  T* y = nullptr;
  int64_t y_step = 0;
  int64_t count = 0;
  int64_t channels = 0;  // of one tile or of two
  bool silu = false;
};

struct TileLoops {
  // Before the products of one depth, on the same thread, and after them.
  void (*begin)(int64_t depth);
  void (*end)();
  void (*products[2][2])(const TileProducts& products);  // by tiles of pixels, of channels, less 1
  void (*finish)(const TileFinish<BFloat16>& finish);
  void (*finish_float)(const TileFinish<float>& finish);
  // Planes of bytes -> pixels of kImageChannels in [0, 1].
  void (*pixels_of_planes)(const uint8_t* const planes[3], int64_t count, BFloat16* pixels);
  // y = the larger of x and y
  void (*larger)(const BFloat16* x, int64_t count, BFloat16* y);
};

// Null, unless this processor multiplies tiles of bfloat16 and the kernel allows it.
const TileLoops* ProcessorTileLoops();

}  // namespace yoke::engine::kernels
