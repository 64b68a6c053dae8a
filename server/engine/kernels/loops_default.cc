// Compiled with the flags of CMakeLists.txt.
#define YOKE_KERNELS default_loops
#define YOKE_KERNELS_NAME "default"
#include "server/engine/kernels/vector_loops.inc"
