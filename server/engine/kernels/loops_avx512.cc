// Compiled with the flags of CMakeLists.txt.
#define YOKE_KERNELS avx512_loops
#define YOKE_KERNELS_NAME "avx512"
#define YOKE_VECTOR 16
#include "server/engine/kernels/vector_loops.inc"
