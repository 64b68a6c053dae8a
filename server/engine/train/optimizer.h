// The optimisers of the YOLOv8 recipe over a flat model: weights (decayed), normalisation weights
// and biases (neither decayed), and for MuSGD more groups. Formulas are those of PyTorch's
// torch.optim, of MuSGD those of the reference.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/train/flat_model.h"
#include "server/engine/train/schedule.h"

namespace yoke::engine {

struct OptimizerConfig {
  std::string kind;  // SGD | MuSGD | Adam | AdamW | Adamax | NAdam | RAdam | RMSProp
  double lr0 = 0.01;
  double momentum = 0.937;     // beta1 of the Adams
  double weight_decay = 5e-4;  // scaled already
  double warmup_bias_lr = 0.1;
};

// What `optimizer=auto` stands for: AdamW with a rate by the number of classes for short trainings,
// `auto_long` for those of more than 10,000 optimiser steps. Fills only what is not in `user_set`.
// `images`: of the training set.
OptimizerConfig ResolveOptimizer(const OptimizerConfig& given, const std::string& auto_long,
                                 int class_count, int64_t images, int64_t batch, int nbs,
                                 int epochs, const std::vector<std::string>& user_set);

// Some parameters that are treated alike.
struct ParameterGroup {
  std::string
      name;  // "weight", "bn", "bias", "muon"; with "*" those of the class branch under MuSGD
  bool decays = false;
  bool is_bias = false;  // its rate warms up from warmup_bias_lr
  bool is_muon = false;
  double lr_scale = 1;
};

// The groups of an optimiser in the reference's order, and which one a parameter is in.
std::vector<ParameterGroup> GroupsOf(const std::string& kind);
int GroupOf(const std::vector<ParameterGroup>& groups, const std::string& name,
            const at::Tensor& parameter);

// `model` with its parameters laid out by the groups of optimiser `kind`.
std::unique_ptr<FlatModel> Flatten(DetectionModel& model, const std::string& kind);

// What a step needs besides gradients, on the model's device; nothing here waits for it.
struct StepScale {
  at::Tensor divisor;    // gradients are divided by it: loss scale over clipping factor
  at::Tensor found_inf;  // 1: nothing is changed by the step; 0
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // InvalidArgument: unknown kind. `flat` was made by Flatten for this kind and must outlive
  // the optimiser.
  static absl::StatusOr<std::unique_ptr<Optimizer>> Create(const OptimizerConfig& config,
                                                           FlatModel& flat);

  // Moves the parameters by the gradients of `flat`, which are changed and stay.
  void Step(const IterationRates& rates, const StepScale& scale);
  // The rate of each group, in their order.
  std::vector<double> RatesOf(const IterationRates& rates) const;

  // Buffers by kind and parameter ("momentum.model.0.conv.weight" ...), or kind and group
  // ("step.bias"), on the CPU.
  std::map<std::string, at::Tensor> State() const;
  // False if something is missing or of another shape: that starts afresh.
  bool LoadState(const std::map<std::string, at::Tensor>& state);
  // Forgets everything.
  void Reset();

 protected:
  struct Group {
    ParameterGroup rule;
    int index = 0;
    at::Tensor values, gradients;
    std::map<std::string, at::Tensor>
        buffers;  // "momentum" ...; as long as values, or scalars ("step")
  };
  Optimizer(const OptimizerConfig& config, FlatModel& flat) : config_(config), flat_(flat) {}
  // Views of all buffers by the names of State().
  void ForEachBuffer(const std::function<void(const std::string&, const at::Tensor&)>& visit) const;
  void AddGroups(const std::vector<std::string>& buffers, const std::vector<std::string>& scalars);
  // One group, whose gradients are not divided yet.
  virtual void Update(Group& group, double lr, double momentum, double decay,
                      const StepScale& scale) = 0;
  // Whether Update heeds found_inf; else Step undoes what it did.
  virtual bool GuardsItself() const { return false; }

  const OptimizerConfig config_;
  FlatModel& flat_;
  std::vector<Group> groups_;
};

}  // namespace yoke::engine
