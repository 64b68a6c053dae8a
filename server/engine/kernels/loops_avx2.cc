// Compiled with the flags of CMakeLists.txt.
#define YOKE_KERNELS avx2_loops
#define YOKE_KERNELS_NAME "avx2"
#define YOKE_VECTOR 8
#include "server/engine/kernels/vector_loops.inc"
