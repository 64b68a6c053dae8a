#include "server/engine/train/optimizer_rules.h"

#include <cmath>

#include "ATen/ATen.h"

namespace yoke::engine {
namespace {

constexpr double kBeta2 = 0.999, kEps = 1e-8;

// torch.optim.SGD with Nesterov's momentum.
class Sgd : public Optimizer {
 public:
  Sgd(const OptimizerConfig& config, FlatModel& flat) : Optimizer(config, flat) {
    AddGroups({"momentum"}, {});
  }

 protected:
  void Update(Group& group, double lr, double momentum, double decay,
              const StepScale& scale) override {
    Move(group, lr, momentum, decay, scale);
  }
  bool GuardsItself() const override { return true; }

  static void Move(Group& group, double lr, double momentum, double decay, const StepScale& scale) {
    // A buffer of zeros becomes the gradient: the first step is no special case.
    at::_fused_sgd_({group.values}, {group.gradients}, {group.buffers["momentum"]}, decay, momentum,
                    lr, /*dampening=*/0, /*nesterov=*/momentum > 0, /*maximize=*/false,
                    /*is_first_step=*/false, scale.divisor, scale.found_inf);
  }
};

// SGD, and for convolutions' weights also a step along the orthogonalised momentum (Muon, by
// Newton-Schulz iterations in bfloat16).
class MuSgd : public Sgd {
 public:
  MuSgd(const OptimizerConfig& config, FlatModel& flat) : Sgd(config, flat) {
    for (Group& group : groups_) {
      if (group.rule.is_muon) group.buffers["muon"] = at::zeros_like(group.values);
    }
  }

 protected:
  void Update(Group& group, double lr, double momentum, double decay,
              const StepScale& scale) override {
    if (group.rule.is_muon) {
      const at::Tensor gradients = group.gradients / scale.divisor;
      at::Tensor buffer = group.buffers["muon"];
      buffer.lerp_(gradients, 1 - momentum);
      const at::Tensor ahead = buffer.lerp(gradients, 1 - momentum);
      const std::vector<FlatEntry> members = flat_.members(group.index);
      for (const FlatEntry& entry : members) {
        const int64_t first = entry.offset - members.front().offset;
        const at::Tensor direction =
            ahead.narrow(0, first, entry.tensor.numel()).view(entry.tensor.sizes());
        group.values.narrow(0, first, entry.tensor.numel())
            .sub_(Orthogonalised(direction).reshape({-1}), lr * kMuonScale);
      }
    }
    Move(group, lr, momentum, decay, scale);
  }
  bool GuardsItself() const override { return false; }

 private:
  static constexpr double kMuonScale = 0.2;

  // About U V^T of the (out, rest) matrix whose singular value decomposition is U S V^T; as the
  // tensor it was.
  static at::Tensor Orthogonalised(const at::Tensor& direction) {
    constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
    constexpr int kIterations = 5;
    at::Tensor x = direction.flatten(1).to(at::kBFloat16);
    x = x / (x.norm() + 1e-7);
    const bool tall = x.size(0) > x.size(1);
    if (tall) x = x.t();
    for (int i = 0; i < kIterations; ++i) {
      const at::Tensor a = x.mm(x.t());
      const at::Tensor b = at::addmm(a, a, a, kB, kC);
      x = at::addmm(x, b, x, kA);
    }
    if (tall) x = x.t();
    const double aspect =
        static_cast<double>(direction.size(2)) / static_cast<double>(direction.size(3));
    return x.to(at::kFloat) * std::sqrt(std::max(1.0, aspect));
  }
};

// torch.optim.Adam and AdamW.
class Adam : public Optimizer {
 public:
  Adam(const OptimizerConfig& config, FlatModel& flat, bool decoupled)
      : Optimizer(config, flat), decoupled_(decoupled) {
    AddGroups({"exp_avg", "exp_avg_sq"}, {"step"});
  }

 protected:
  void Update(Group& group, double lr, double, double decay, const StepScale& scale) override {
    at::Tensor step = group.buffers["step"];
    step += 1;
    const auto fused = decoupled_ ? &Call<true> : &Call<false>;
    fused(group, step, lr, config_.momentum, decay, scale);
  }
  bool GuardsItself() const override { return true; }

 private:
  template <bool decoupled>
  static void Call(Group& group, const at::Tensor& step, double lr, double beta1, double decay,
                   const StepScale& scale) {
    const at::TensorList values = group.values, gradients = group.gradients, steps = step;
    const at::TensorList average = group.buffers["exp_avg"], square = group.buffers["exp_avg_sq"];
    if constexpr (decoupled) {
      at::_fused_adamw_(values, gradients, average, square, {}, steps, lr, beta1, kBeta2, decay,
                        kEps, false, false, scale.divisor, scale.found_inf);
    } else {
      at::_fused_adam_(values, gradients, average, square, {}, steps, lr, beta1, kBeta2, decay,
                       kEps, false, false, scale.divisor, scale.found_inf);
    }
    step.sub_(scale.found_inf);
  }

  const bool decoupled_;
};

// What the optimisers written here have in common: divided gradients with the decay added.
class Plain : public Optimizer {
 public:
  using Optimizer::Optimizer;

 protected:
  static at::Tensor Gradients(const Group& group, double decay, const StepScale& scale) {
    const at::Tensor gradients = group.gradients / scale.divisor;
    return decay == 0 ? gradients : gradients.add(group.values, decay);
  }
  // The running means of gradients and of their squares take in `g`. Returns the number of steps,
  // float64.
  static at::Tensor TakeIn(Group& group, const at::Tensor& g, double beta1) {
    at::Tensor step = group.buffers["step"];
    step += 1;
    group.buffers["exp_avg"].lerp_(g, 1 - beta1);
    group.buffers["exp_avg_sq"].mul_(kBeta2).addcmul_(g, g, 1 - kBeta2);
    return step.to(at::kDouble);
  }
};

// torch.optim.RMSprop.
class RmsProp : public Plain {
 public:
  RmsProp(const OptimizerConfig& config, FlatModel& flat) : Plain(config, flat) {
    AddGroups({"square_avg", "momentum"}, {});
  }

 protected:
  void Update(Group& group, double lr, double momentum, double decay,
              const StepScale& scale) override {
    constexpr double kAlpha = 0.99;
    const at::Tensor g = Gradients(group, decay, scale);
    at::Tensor square = group.buffers["square_avg"], buffer = group.buffers["momentum"];
    square.mul_(kAlpha).addcmul_(g, g, 1 - kAlpha);
    buffer.mul_(momentum).addcdiv_(g, square.sqrt().add_(kEps));
    group.values.sub_(buffer, lr);
  }
};

// torch.optim.Adamax, NAdam and RAdam.
class Adamax : public Plain {
 public:
  Adamax(const OptimizerConfig& config, FlatModel& flat) : Plain(config, flat) {
    AddGroups({"exp_avg", "exp_inf"}, {"step"});
  }

 protected:
  void Update(Group& group, double lr, double, double decay, const StepScale& scale) override {
    const at::Tensor g = Gradients(group, decay, scale);
    at::Tensor average = group.buffers["exp_avg"], largest = group.buffers["exp_inf"],
               step = group.buffers["step"];
    step += 1;
    average.lerp_(g, 1 - config_.momentum);
    largest.copy_(at::maximum(largest * kBeta2, g.abs() + kEps));
    const at::Tensor correction = 1 - at::pow(config_.momentum, step.to(at::kDouble));
    group.values.sub_(average / largest * (lr / correction).to(at::kFloat));
  }
};

class NAdam : public Plain {
 public:
  NAdam(const OptimizerConfig& config, FlatModel& flat) : Plain(config, flat) {
    AddGroups({"exp_avg", "exp_avg_sq"}, {"step", "log_mu_product"});
  }

 protected:
  void Update(Group& group, double lr, double, double decay, const StepScale& scale) override {
    constexpr double kMomentumDecay = 4e-3;
    const double beta1 = config_.momentum;
    const at::Tensor g = Gradients(group, decay, scale);
    const at::Tensor t = TakeIn(group, g, beta1);
    const at::Tensor average = group.buffers["exp_avg"], square = group.buffers["exp_avg_sq"];
    at::Tensor product = group.buffers["log_mu_product"];
    const auto mu_at = [&](const at::Tensor& when) {
      return beta1 * (1 - 0.5 * at::pow(0.96, when * kMomentumDecay));
    };
    const at::Tensor mu = mu_at(t), mu_next = mu_at(t + 1);
    // Its logarithm, so that a buffer of zeros is the empty product.
    product += mu.log().to(at::kFloat);
    const at::Tensor mu_product = product.to(at::kDouble).exp();
    const at::Tensor correction = 1 - at::pow(kBeta2, t);
    const at::Tensor divisor = (square / correction.to(at::kFloat)).sqrt_().add_(kEps);
    const at::Tensor now = (lr * (1 - mu) / (1 - mu_product)).to(at::kFloat);
    const at::Tensor ahead = (lr * mu_next / (1 - mu_product * mu_next)).to(at::kFloat);
    group.values.sub_((g * now + average * ahead) / divisor);
  }
};

class RAdam : public Plain {
 public:
  RAdam(const OptimizerConfig& config, FlatModel& flat) : Plain(config, flat) {
    AddGroups({"exp_avg", "exp_avg_sq"}, {"step"});
  }

 protected:
  void Update(Group& group, double lr, double, double decay, const StepScale& scale) override {
    const at::Tensor g = Gradients(group, decay, scale);
    const at::Tensor t = TakeIn(group, g, config_.momentum);
    const at::Tensor average = group.buffers["exp_avg"], square = group.buffers["exp_avg_sq"];
    const at::Tensor correction1 = 1 - at::pow(config_.momentum, t);
    const at::Tensor power2 = at::pow(kBeta2, t), correction2 = 1 - power2;
    const double rho_inf = 2 / (1 - kBeta2) - 1;
    const at::Tensor rho = rho_inf - 2 * t * power2 / correction2;
    const at::Tensor rectified =
        ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            .clamp_min(0)
            .sqrt();
    // While the variance of the square is not tractable, steps are those of momentum alone.
    const at::Tensor adaptive =
        (rectified * correction2.sqrt()).to(at::kFloat) / (square.sqrt() + kEps);
    const at::Tensor factor = at::where(rho > 5, adaptive, at::ones({}, square.options()));
    group.values.sub_(average * factor * (lr / correction1).to(at::kFloat));
  }
};

}  // namespace

std::unique_ptr<Optimizer> MakeOptimizerRule(const OptimizerConfig& config, FlatModel& flat) {
  if (config.kind == "SGD") return std::make_unique<Sgd>(config, flat);
  if (config.kind == "MuSGD") return std::make_unique<MuSgd>(config, flat);
  if (config.kind == "Adam") return std::make_unique<Adam>(config, flat, /*decoupled=*/false);
  if (config.kind == "AdamW") return std::make_unique<Adam>(config, flat, /*decoupled=*/true);
  if (config.kind == "RMSProp") return std::make_unique<RmsProp>(config, flat);
  if (config.kind == "Adamax") return std::make_unique<Adamax>(config, flat);
  if (config.kind == "NAdam") return std::make_unique<NAdam>(config, flat);
  if (config.kind == "RAdam") return std::make_unique<RAdam>(config, flat);
  return nullptr;
}

}  // namespace yoke::engine
