// Compiled with the flags of CMakeLists.txt.
#include <immintrin.h>

#include "server/engine/kernels/tile_loops.h"

namespace yoke::engine::kernels {
namespace amx_loops {

#include "server/engine/kernels/vector_math.inc"

#include "server/engine/kernels/tile_loops.inc"

// What LDTILECFG reads. Tiles 0 to 3 hold sums, 4 and 5 pixels, 6 and 7 weights.
struct alignas(64) TileConfig {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
constexpr TileConfig Config(uint8_t depth) {
  TileConfig config = {};
  config.palette = 1;
  for (int t = 0; t < 8; ++t) {
    config.rows[t] = t < 6 ? kTileSide : depth / 2;
    config.row_bytes[t] = t == 4 || t == 5 ? 2 * depth : 64;
  }
  return config;
}
constexpr TileConfig kDepth16 = Config(16), kDepth32 = Config(32);

void Begin(int64_t depth) { _tile_loadconfig(depth == 16 ? &kDepth16 : &kDepth32); }
void End() { _tile_release(); }

template <int P, int C>
void Products(const TileProducts& products) {
  _tile_zero(0);
  if constexpr (C == 2) _tile_zero(1);
  if constexpr (P == 2) _tile_zero(2);
  if constexpr (P == 2 && C == 2) _tile_zero(3);
  const int64_t x_bytes = 2 * products.x_step;
  const int64_t tile = products.depth * kTileSide;
  const BFloat16* w = products.weights;
  for (int64_t t = 0; t < products.tap_count; ++t) {
    const BFloat16* x = products.x + products.taps[t];
    for (int64_t b = 0; b < products.blocks; ++b, x += products.depth, w += C * tile) {
      _tile_loadd(4, x, x_bytes);
      _tile_loadd(6, w, 64);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (C == 2) {
        _tile_loadd(7, w + tile, 64);
        _tile_dpbf16ps(1, 4, 7);
      }
      if constexpr (P == 2) {
        _tile_loadd(5, x + kTileSide * products.x_step, x_bytes);
        _tile_dpbf16ps(2, 5, 6);
      }
      if constexpr (P == 2 && C == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }
  constexpr int64_t kRow = C * kTileSide;
  float* const second = products.sums + kTileSide * kRow;
  _tile_stored(0, products.sums, 4 * kRow);
  if constexpr (C == 2) _tile_stored(1, products.sums + kTileSide, 4 * kRow);
  if constexpr (P == 2) _tile_stored(2, second, 4 * kRow);
  if constexpr (P == 2 && C == 2) _tile_stored(3, second + kTileSide, 4 * kRow);
}

extern const TileLoops kLoops;
const TileLoops kLoops = {
    &Begin,
    &End,
    {{&Products<1, 1>, &Products<1, 2>}, {&Products<2, 1>, &Products<2, 2>}},
    &Finish<BFloat16>,
    &Finish<float>,
    &TilePixels,
    &TileLarger};

}  // namespace amx_loops
}  // namespace yoke::engine::kernels
