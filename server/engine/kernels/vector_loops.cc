#include "server/engine/kernels/vector_loops.h"

namespace yoke::engine::kernels {

namespace default_loops {
extern const VectorLoops kLoops;
}
#if defined(__x86_64__)
namespace avx2_loops {
extern const VectorLoops kLoops;
}
namespace avx512_loops {
extern const VectorLoops kLoops;
}
#endif

SupportedLoops AllLoops() {
  SupportedLoops all;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    all.loops[all.count++] = &avx512_loops::kLoops;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    all.loops[all.count++] = &avx2_loops::kLoops;
  }
#endif
  all.loops[all.count++] = &default_loops::kLoops;
  return all;
}

const VectorLoops& Loops() {
  static const VectorLoops& best = *AllLoops().loops[0];
  return best;
}

}  // namespace yoke::engine::kernels
