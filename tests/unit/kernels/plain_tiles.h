// The loops of tile_loops.h in plain C++, for processors without products of tiles.
#pragma once

#include "server/engine/kernels/tile_loops.h"

namespace yoke::engine::kernels {

const TileLoops& PlainTileLoops();

}  // namespace yoke::engine::kernels
