#include "server/engine/kernels/tile_loops.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <string_view>

namespace yoke::engine::kernels {

#if defined(__x86_64__) && defined(__linux__)
namespace amx_loops {
extern const TileLoops kLoops;
}

namespace {

// The kernel keeps the tiles of a process's threads only once the process has asked for it.
bool MayUseTiles() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM of asm/prctl.h
  constexpr int kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool HasTiles() {
  constexpr unsigned kBFloat16Products = 1u << 22, kTiles = 1u << 24;  // leaf 7, edx
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  return (edx & kBFloat16Products) != 0 && (edx & kTiles) != 0 &&
         std::string_view(AllLoops().loops[0]->name) == "avx512";
}

}  // namespace

const TileLoops* ProcessorTileLoops() {
  static const TileLoops* const loops = HasTiles() && MayUseTiles() ? &amx_loops::kLoops : nullptr;
  return loops;
}
#else
const TileLoops* ProcessorTileLoops() { return nullptr; }
#endif

}  // namespace yoke::engine::kernels
