#include "server/engine/model/blocks.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "server/engine/model/bn_silu.h"
#include "server/engine/model/detection_model.h"
#include "torch/nn/init.h"

namespace yoke::engine {
namespace {

// Registers an unnamed container module, as the reference's Sequential and ModuleList are in its
// names.
class Container : public torch::nn::Module {};

}  // namespace

Conv2d::Conv2d(int in, int out, int kernel, int stride_in, bool with_bias)
    : stride(stride_in), padding(kernel / 2) {
  weight = register_parameter("weight", torch::empty({out, in, kernel, kernel}));
  torch::nn::init::kaiming_uniform_(weight, std::sqrt(5.0));
  if (with_bias) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(in) * kernel * kernel);
    bias = register_parameter("bias", torch::empty({out}).uniform_(-bound, bound));
  }
}

at::Tensor Conv2d::Forward(const at::Tensor& x) const {
  return at::conv2d(x, weight, bias, {stride, stride}, {padding, padding});
}

BatchNorm2d::BatchNorm2d(int channels, double fresh_var, int64_t batches_tracked) {
  weight = register_parameter("weight", torch::ones({channels}));
  bias = register_parameter("bias", torch::zeros({channels}));
  running_mean = register_buffer("running_mean", torch::zeros({channels}));
  running_var = register_buffer("running_var", torch::full({channels}, fresh_var));
  num_batches_tracked =
      register_buffer("num_batches_tracked", torch::tensor(batches_tracked, torch::kLong));
}

ConvBlock::ConvBlock(int in, int out, int kernel, int stride, double fresh_var,
                     int64_t batches_tracked) {
  conv = register_module("conv", std::make_shared<Conv2d>(in, out, kernel, stride, false));
  bn = register_module("bn", std::make_shared<BatchNorm2d>(out, fresh_var, batches_tracked));
}

at::Tensor ConvBlock::Forward(const at::Tensor& x) {
  at::Tensor y = conv->Forward(x);
  if (folded) return at::silu_(y);
  if (!is_training()) {
    return at::silu(at::batch_norm(y, bn->weight, bn->bias, bn->running_mean, bn->running_var,
                                   false, kBatchNormMomentum, kBatchNormEps, false));
  }
  {
    at::NoGradGuard no_grad;
    bn->num_batches_tracked.add_(1);
  }
  return BatchNormSilu(
      y, bn->weight, bn->bias,
      {bn->running_mean, bn->running_var, kBatchNormMomentum, kBatchNormEps, exchange});
}

void ConvBlock::Fold() {
  if (folded) return;
  at::NoGradGuard no_grad;
  const at::Tensor factor = bn->weight / (bn->running_var + kBatchNormEps).sqrt();
  conv->weight.mul_(factor.reshape({-1, 1, 1, 1}));
  conv->bias =
      conv->register_parameter("bias", (bn->bias - bn->running_mean * factor).clone(), false);
  unregister_module("bn");
  bn.reset();
  folded = true;
}

Bottleneck::Bottleneck(int channels, bool with_shortcut, FreshStatistics f)
    : shortcut(with_shortcut) {
  cv1 = register_module("cv1", std::make_shared<ConvBlock>(channels, channels, 3, 1, f.running_var,
                                                           f.batches_tracked));
  cv2 = register_module("cv2", std::make_shared<ConvBlock>(channels, channels, 3, 1, f.running_var,
                                                           f.batches_tracked));
}

at::Tensor Bottleneck::Forward(const at::Tensor& x) {
  at::Tensor y = cv2->Forward(cv1->Forward(x));
  return shortcut ? x + y : y;
}

C2f::C2f(int in, int out, int repeats, bool shortcut, FreshStatistics f) {
  const int hidden = out / 2;
  cv1 = register_module(
      "cv1", std::make_shared<ConvBlock>(in, 2 * hidden, 1, 1, f.running_var, f.batches_tracked));
  cv2 = register_module("cv2", std::make_shared<ConvBlock>((2 + repeats) * hidden, out, 1, 1,
                                                           f.running_var, f.batches_tracked));
  auto list = register_module("m", std::make_shared<Container>());
  for (int i = 0; i < repeats; ++i) {
    m.push_back(list->register_module(std::to_string(i),
                                      std::make_shared<Bottleneck>(hidden, shortcut, f)));
  }
}

at::Tensor C2f::Forward(const at::Tensor& x) {
  std::vector<at::Tensor> parts = cv1->Forward(x).chunk(2, 1);
  for (auto& bottleneck : m) parts.push_back(bottleneck->Forward(parts.back()));
  return cv2->Forward(at::cat(parts, 1));
}

Sppf::Sppf(int in, int out, FreshStatistics f) {
  cv1 = register_module(
      "cv1", std::make_shared<ConvBlock>(in, in / 2, 1, 1, f.running_var, f.batches_tracked));
  cv2 = register_module(
      "cv2", std::make_shared<ConvBlock>(in / 2 * 4, out, 1, 1, f.running_var, f.batches_tracked));
}

at::Tensor Sppf::Forward(const at::Tensor& x) {
  std::vector<at::Tensor> parts = {cv1->Forward(x)};
  for (int i = 0; i < 3; ++i) parts.push_back(at::max_pool2d(parts.back(), {5, 5}, {1, 1}, {2, 2}));
  return cv2->Forward(at::cat(parts, 1));
}

Detect::Detect(const std::vector<int>& channels, int class_count, int class_width, double box_bias,
               FreshStatistics f) {
  const int box_width = std::max({16, channels[0] / 4, kRegMax * 4});
  const auto build = [&](const char* name, int width, int outputs) {
    auto list = register_module(name, std::make_shared<Container>());
    std::vector<Branch> branches;
    for (size_t i = 0; i < channels.size(); ++i) {
      auto sequence = list->register_module(std::to_string(i), std::make_shared<Container>());
      Branch b;
      b.first = sequence->register_module(
          "0",
          std::make_shared<ConvBlock>(channels[i], width, 3, 1, f.running_var, f.batches_tracked));
      b.second = sequence->register_module(
          "1", std::make_shared<ConvBlock>(width, width, 3, 1, f.running_var, f.batches_tracked));
      b.last = sequence->register_module("2", std::make_shared<Conv2d>(width, outputs, 1, 1, true));
      branches.push_back(b);
    }
    return branches;
  };
  box_branches = build("cv2", box_width, 4 * kRegMax);
  class_branches = build("cv3", class_width, class_count);
  auto dfl_module = register_module("dfl", std::make_shared<Container>());
  dfl = dfl_module->register_module("conv", std::make_shared<Conv2d>(kRegMax, 1, 1, 1, false));

  at::NoGradGuard no_grad;
  dfl->weight.copy_(torch::arange(kRegMax, torch::kFloat).reshape({1, kRegMax, 1, 1}));
  dfl->weight.requires_grad_(false);
  for (size_t i = 0; i < channels.size(); ++i) {
    const double cells = 640.0 / kLevelStrides[i];
    box_branches[i].last->bias.fill_(box_bias);
    class_branches[i].last->bias.fill_(std::log(5.0 / class_count / (cells * cells)));
  }
}

HeadMaps Detect::Forward(const std::array<at::Tensor, 3>& levels) {
  HeadMaps maps;
  for (size_t i = 0; i < levels.size(); ++i) {
    maps.box[i] = box_branches[i].Forward(levels[i]);
    maps.cls[i] = class_branches[i].Forward(levels[i]);
  }
  return maps;
}

}  // namespace yoke::engine
