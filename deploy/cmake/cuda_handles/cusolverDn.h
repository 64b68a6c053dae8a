// LibTorch's headers mention this handle (and a status) and nothing else of the library: the types stand in for 100 MB or more of
// headers and libraries that the CUDA module does not use.
#pragma once
#include "cusolver_common.h"
struct cusolverDnContext;
typedef struct cusolverDnContext* cusolverDnHandle_t;
