// The innermost loops of the CPU kernels, each compiled once for each set of vector instructions;
// the best that the processor has is chosen when the program runs. They see plain memory only:
// units compiled for other instructions must not share inline functions with the rest of the
// program.
#pragma once

#include <cstdint>

#include "server/engine/kernels/conv_loops.h"

namespace yoke::engine::kernels {

// The bits of a bfloat16.
struct BFloat16 {
  uint16_t bits;
};

// Over `count` values; coefficients and sums are given for each value. With z = a x + b, y = z
// sigmoid(z), d = dL/dz = dL/dy sigmoid(z) (1 + z (1 - sigmoid(z))).
template <typename T>
struct BnSiluLoops {
  // s += x - shift, q += (x - shift)^2
  void (*sums)(const T* x, const float* shift, int64_t count, float* s, float* q);
  void (*forward)(const T* x, const float* a, const float* b, int64_t count, T* y);
  // sd += d, sx += d (x - mean)
  void (*backward_sums)(const T* grad_y, const T* x, const float* a, const float* b,
                        const float* mean, int64_t count, float* sd, float* sx);
  // grad_x = a d + k1 x + k0
  void (*backward)(const T* grad_y, const T* x, const float* a, const float* b, const float* k0,
                   const float* k1, int64_t count, T* grad_x);
};

template <typename T>
struct LossLoops {
  // Binary cross entropy of logits x with target 0: sum += w log(1 + e^x), grad = w scale
  // sigmoid(x).
  void (*cross_entropy)(const T* x, const float* w, float scale, int64_t count, float* sum,
                        T* grad);
  // y = e^(x - shift)
  void (*exponential)(const T* x, float shift, int64_t count, float* y);
};

template <typename T>
struct TypedLoops {
  BnSiluLoops<T> bn_silu;
  LossLoops<T> loss;
};

struct VectorLoops {
  const char* name;  // of the set of instructions
  TypedLoops<float> of_float;
  TypedLoops<BFloat16> of_bfloat16;
  ConvLoops conv;
};

// Those that this processor can run, the best first; their number is at least one.
struct SupportedLoops {
  const VectorLoops* loops[3] = {};
  int count = 0;
};
SupportedLoops AllLoops();

// The best for this processor.
const VectorLoops& Loops();

template <typename T>
const TypedLoops<T>& LoopsOf();
template <>
inline const TypedLoops<float>& LoopsOf<float>() {
  return Loops().of_float;
}
template <>
inline const TypedLoops<BFloat16>& LoopsOf<BFloat16>() {
  return Loops().of_bfloat16;
}

}  // namespace yoke::engine::kernels
