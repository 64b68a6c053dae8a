// Compiled with the flags of CMakeLists.txt.
#define YOKE_KERNELS default_loops
#define YOKE_KERNELS_NAME "default"
#define YOKE_VECTOR 4
#include "server/engine/kernels/vector_loops.inc"
