// The building blocks of the network. Each registers its parameters under the names of the
// reference's state_dict, so that weights are exchanged by name. Shapes: B batch, C channels, H/W
// pixels of the map.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "server/engine/model/bn_silu.h"
#include "server/engine/model/head_maps.h"
#include "torch/nn/module.h"

namespace yoke::engine {

inline constexpr double kBatchNormEps = 1e-3;
inline constexpr double kBatchNormMomentum = 0.03;

// A bare convolution: parameters "weight" and, if asked for, "bias". PyTorch's default
// initialisation (Kaiming uniform, a = sqrt(5)).
class Conv2d : public torch::nn::Module {
 public:
  Conv2d(int in, int out, int kernel, int stride, bool bias);
  at::Tensor Forward(const at::Tensor& x) const;

  at::Tensor weight, bias;  // (out, in, k, k); (out) or undefined
  int stride, padding;
};

class BatchNorm2d : public torch::nn::Module {
 public:
  // `running_var`: its fresh value; the eras of the recipe differ in it.
  BatchNorm2d(int channels, double running_var, int64_t batches_tracked);

  at::Tensor weight, bias, running_mean, running_var, num_batches_tracked;
};

// Convolution, BatchNorm, SiLU. After Fold(), one convolution with bias and SiLU.
class ConvBlock : public torch::nn::Module {
 public:
  ConvBlock(int in, int out, int kernel, int stride, double running_var, int64_t batches_tracked);
  at::Tensor Forward(const at::Tensor& x);
  // w' = w * gamma / sqrt(var + eps), b' = beta - mean * gamma / sqrt(var + eps). Inference only.
  void Fold();

  std::shared_ptr<Conv2d> conv;
  std::shared_ptr<BatchNorm2d> bn;
  bool folded = false;
  StatisticsExchange* exchange = nullptr;  // with synchronised BatchNorm
};

// What fresh BatchNorm statistics look like.
struct FreshStatistics {
  double running_var = 1.0;
  int64_t batches_tracked = 0;
};

class Bottleneck : public torch::nn::Module {
 public:
  Bottleneck(int channels, bool shortcut, FreshStatistics fresh);
  at::Tensor Forward(const at::Tensor& x);
  std::shared_ptr<ConvBlock> cv1, cv2;
  bool shortcut;
};

// Split, a chain of bottlenecks, concatenation of all parts.
class C2f : public torch::nn::Module {
 public:
  C2f(int in, int out, int repeats, bool shortcut, FreshStatistics fresh);
  at::Tensor Forward(const at::Tensor& x);
  std::shared_ptr<ConvBlock> cv1, cv2;
  std::vector<std::shared_ptr<Bottleneck>> m;
};

// Spatial pyramid pooling by three 5x5 poolings in a row.
class Sppf : public torch::nn::Module {
 public:
  Sppf(int in, int out, FreshStatistics fresh);
  at::Tensor Forward(const at::Tensor& x);
  std::shared_ptr<ConvBlock> cv1, cv2;
};

// The head: per level a box branch (4 sides x 16 bins) and a class branch.
class Detect : public torch::nn::Module {
 public:
  // `class_width`: channels within the class branches.
  Detect(const std::vector<int>& channels, int class_count, int class_width, double box_bias,
         FreshStatistics fresh);
  HeadMaps Forward(const std::array<at::Tensor, 3>& levels);

  struct Branch {
    std::shared_ptr<ConvBlock> first, second;
    std::shared_ptr<Conv2d> last;
    at::Tensor Forward(const at::Tensor& x) {
      return last->Forward(second->Forward(first->Forward(x)));
    }
  };
  std::vector<Branch> box_branches, class_branches;
  std::shared_ptr<Conv2d> dfl;  // weight arange(16), never trained
};

}  // namespace yoke::engine
