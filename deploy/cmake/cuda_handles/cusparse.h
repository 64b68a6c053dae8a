// LibTorch's headers mention this handle (and a status) and nothing else of the library: the types stand in for 100 MB or more of
// headers and libraries that the CUDA module does not use.
#pragma once
struct cusparseContext;
typedef struct cusparseContext* cusparseHandle_t;
typedef enum { CUSPARSE_STATUS_SUCCESS = 0 } cusparseStatus_t;
