#include "tests/unit/kernels/plain_tiles.h"

#include <algorithm>

namespace yoke::engine::kernels {
namespace plain_tiles {
namespace {

#include "server/engine/kernels/vector_math.inc"

#include "server/engine/kernels/tile_loops.inc"

thread_local int64_t g_depth = 0;

void Begin(int64_t depth) { g_depth = depth; }
void End() { g_depth = 0; }

// TDPBF16PS: of each row of a tile of weights, the pairs of its columns.
template <int P, int C>
void Products(const TileProducts& products) {
  std::fill_n(products.sums, P * C * kTileSide * kTileSide, 0.0f);
  if (products.depth != g_depth) return;  // tiles of another shape
  const BFloat16* w = products.weights;
  for (int64_t t = 0; t < products.tap_count; ++t) {
    for (int64_t b = 0; b < products.blocks; ++b) {
      for (int64_t c = 0; c < C; ++c, w += products.depth * kTileSide) {
        for (int64_t p = 0; p < P * kTileSide; ++p) {
          const BFloat16* x =
              products.x + products.taps[t] + p * products.x_step + b * products.depth;
          float* const sums = products.sums + p * C * kTileSide + c * kTileSide;
          for (int64_t k = 0; k < products.depth; k += 2) {
            const BFloat16* const row = w + k * kTileSide;
            for (int64_t o = 0; o < kTileSide; ++o)
              sums[o] += Load(x[k]) * Load(row[2 * o]) + Load(x[k + 1]) * Load(row[2 * o + 1]);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace plain_tiles

const TileLoops& PlainTileLoops() {
  using namespace plain_tiles;
  static const TileLoops loops = {
      &Begin,
      &End,
      {{&Products<1, 1>, &Products<1, 2>}, {&Products<2, 1>, &Products<2, 2>}},
      &Finish<BFloat16>,
      &Finish<float>,
      &TilePixels,
      &TileLarger};
  return loops;
}

}  // namespace yoke::engine::kernels
