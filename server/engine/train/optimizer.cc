#include "server/engine/train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "torch/nn/utils/clip_grad.h"
#include "torch/optim/adam.h"
#include "torch/optim/adamw.h"
#include "torch/optim/sgd.h"

namespace yoke::engine {
namespace {

constexpr double kGradientNormMax = 10;
constexpr double kAdamBeta2 = 0.999;
constexpr double kLongTrainingSteps = 10000;
enum Group : size_t { kWeights = 0, kNorms = 1, kBiases = 2, kGroupCount = 3 };

// Normalisation layers are the parts called "bn"; their weights have one dimension.
Group GroupOf(const std::string& name, const at::Tensor& parameter) {
  if (absl::StrContains(name, "bias")) return kBiases;
  return parameter.dim() == 1 ? kNorms : kWeights;
}

template <typename Options>
std::vector<torch::optim::OptimizerParamGroup> MakeGroups(
    const std::vector<std::pair<std::string, at::Tensor>>& parameters, const Options& options,
    double weight_decay) {
  std::vector<std::vector<at::Tensor>> members(kGroupCount);
  for (const auto& [name, parameter] : parameters) {
    members[GroupOf(name, parameter)].push_back(parameter);
  }
  std::vector<torch::optim::OptimizerParamGroup> groups;
  for (size_t i = 0; i < kGroupCount; ++i) {
    Options own = options;
    own.weight_decay(i == kWeights ? weight_decay : 0.0);
    groups.emplace_back(members[i], std::make_unique<Options>(own));
  }
  return groups;
}

// Calls `visit(name, tensor)` for each buffer of a parameter's state.
template <typename State, typename Visit>
void VisitAdam(State& state, const Visit& visit) {
  visit("exp_avg.", state.exp_avg());
  visit("exp_avg_sq.", state.exp_avg_sq());
}

}  // namespace

OptimizerConfig ResolveOptimizer(const OptimizerConfig& given, int class_count, int64_t images,
                                 int64_t batch, int nbs, int epochs,
                                 const std::vector<std::string>& user_set) {
  if (given.kind != "auto") return given;
  const auto free = [&](const char* key) {
    return std::find(user_set.begin(), user_set.end(), key) == user_set.end();
  };
  const auto step_images = static_cast<double>(std::max<int64_t>(batch, nbs));
  const double steps = std::ceil(static_cast<double>(images) / step_images) * epochs;
  OptimizerConfig config = given;
  const bool is_long = steps > kLongTrainingSteps;
  config.kind = is_long ? "SGD" : "AdamW";
  if (free("lr0")) {
    config.lr0 = is_long ? 0.01 : std::round(0.002 * 5 / (4 + class_count) * 1e6) / 1e6;
  }
  if (free("momentum") && !is_long) config.momentum = 0.9;
  if (free("warmup_bias_lr")) config.warmup_bias_lr = 0;
  return config;
}

absl::StatusOr<std::unique_ptr<Optimizer>> Optimizer::Create(const OptimizerConfig& config,
                                                             DetectionModel& model) {
  std::unique_ptr<Optimizer> made(new Optimizer);
  for (const auto& entry : model.named_parameters()) {
    if (entry.value().requires_grad()) made->parameters_.emplace_back(entry.key(), entry.value());
  }
  const auto betas = std::make_tuple(config.momentum, kAdamBeta2);
  made->adam_ = true;
  if (config.kind == "SGD") {
    made->adam_ = false;
    torch::optim::SGDOptions options(config.lr0);
    options.momentum(config.momentum).nesterov(config.momentum > 0);
    made->optimizer_ = std::make_unique<torch::optim::SGD>(
        MakeGroups(made->parameters_, options, config.weight_decay), options);
  } else if (config.kind == "Adam") {
    torch::optim::AdamOptions options(config.lr0);
    options.betas(betas);
    made->optimizer_ = std::make_unique<torch::optim::Adam>(
        MakeGroups(made->parameters_, options, config.weight_decay), options);
  } else if (config.kind == "AdamW") {
    torch::optim::AdamWOptions options(config.lr0);
    options.betas(betas);
    made->optimizer_ = std::make_unique<torch::optim::AdamW>(
        MakeGroups(made->parameters_, options, config.weight_decay), options);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("optimizer=", config.kind, " is unknown; use auto, SGD, Adam or AdamW"));
  }
  return made;
}

void Optimizer::SetRates(const IterationRates& rates) {
  auto& groups = optimizer_->param_groups();
  for (size_t i = 0; i < groups.size(); ++i) {
    groups[i].options().set_lr(i == kBiases ? rates.bias_lr : rates.lr);
    if (adam_) continue;  // the Adams know no warm-up of momentum
    auto& options = static_cast<torch::optim::SGDOptions&>(groups[i].options());
    options.momentum(rates.momentum);
  }
}

void Optimizer::Step() {
  std::vector<at::Tensor> parameters;
  for (const auto& [name, parameter] : parameters_) parameters.push_back(parameter);
  torch::nn::utils::clip_grad_norm_(parameters, kGradientNormMax);
  optimizer_->step();
  ZeroGradients();
}

// Not zero_grad(), which first detaches in place: gradients that live in the reducer's buckets
// refuse.
void Optimizer::ZeroGradients() {
  for (auto& [name, parameter] : parameters_) parameter.mutable_grad().reset();
}

std::map<std::string, at::Tensor> Optimizer::State() const {
  std::map<std::string, at::Tensor> buffers;
  for (const auto& [name, parameter] : parameters_) {
    const auto found = optimizer_->state().find(parameter.unsafeGetTensorImpl());
    if (found == optimizer_->state().end()) continue;
    const auto keep = [&, key = name](const char* kind, const at::Tensor& buffer) {
      if (buffer.defined()) buffers[kind + key] = buffer.detach().to(at::kCPU).clone();
    };
    if (auto* adam = dynamic_cast<torch::optim::AdamParamState*>(found->second.get())) {
      VisitAdam(*adam, keep);
      buffers["step." + name] = at::tensor(adam->step(), at::kLong);
    } else if (auto* adamw = dynamic_cast<torch::optim::AdamWParamState*>(found->second.get())) {
      VisitAdam(*adamw, keep);
      buffers["step." + name] = at::tensor(adamw->step(), at::kLong);
    } else if (auto* sgd = dynamic_cast<torch::optim::SGDParamState*>(found->second.get())) {
      keep("momentum.", sgd->momentum_buffer());
    }
  }
  return buffers;
}

void Optimizer::LoadState(const std::map<std::string, at::Tensor>& state) {
  const bool is_adamw = dynamic_cast<torch::optim::AdamW*>(optimizer_.get()) != nullptr;
  for (const auto& [name, parameter] : parameters_) {
    const auto take = [&, key = name](const std::string& kind) {
      const auto found = state.find(kind + key);
      return found == state.end() ? at::Tensor() : found->second.to(parameter.device()).clone();
    };
    const auto fill_adam = [&](auto made) {
      if (!take("step.").defined()) return;
      made->step(take("step.").template item<int64_t>());
      made->exp_avg(take("exp_avg."));
      made->exp_avg_sq(take("exp_avg_sq."));
      optimizer_->state()[parameter.unsafeGetTensorImpl()] = std::move(made);
    };
    if (is_adamw) {
      fill_adam(std::make_unique<torch::optim::AdamWParamState>());
    } else if (adam_) {
      fill_adam(std::make_unique<torch::optim::AdamParamState>());
    } else if (take("momentum.").defined()) {
      auto made = std::make_unique<torch::optim::SGDParamState>();
      made->momentum_buffer(take("momentum."));
      optimizer_->state()[parameter.unsafeGetTensorImpl()] = std::move(made);
    }
  }
}

}  // namespace yoke::engine
