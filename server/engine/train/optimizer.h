// The optimiser over the three groups of parameters of the YOLOv8 recipe: weights (decayed),
// normalisation weights and biases (neither decayed).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/model/detection_model.h"
#include "server/engine/train/schedule.h"
#include "torch/optim/optimizer.h"

namespace yoke::engine {

struct OptimizerConfig {
  std::string kind;  // SGD | Adam | AdamW
  double lr0 = 0.01;
  double momentum = 0.937;     // beta1 of the Adams
  double weight_decay = 5e-4;  // scaled already
  double warmup_bias_lr = 0.1;
};

// What `optimizer=auto` stands for: AdamW with a rate by the number of classes for short trainings,
// SGD for those of more than 10,000 optimiser steps. Fills only what is not in `user_set`.
// `images`: of the training set.
OptimizerConfig ResolveOptimizer(const OptimizerConfig& given, int class_count, int64_t images,
                                 int64_t batch, int nbs, int epochs,
                                 const std::vector<std::string>& user_set);

class Optimizer {
 public:
  // InvalidArgument: unknown kind.
  static absl::StatusOr<std::unique_ptr<Optimizer>> Create(const OptimizerConfig& config,
                                                           DetectionModel& model);

  // Before an iteration.
  void SetRates(const IterationRates& rates);
  // Clips the gradients' total norm to 10, steps and forgets them.
  void Step();
  void ZeroGradients();

  // Buffers by parameter name ("momentum.model.0.conv.weight", ...), as LoadState takes them.
  std::map<std::string, at::Tensor> State() const;
  void LoadState(const std::map<std::string, at::Tensor>& state);

 private:
  Optimizer() = default;

  bool adam_ = false;
  std::vector<std::pair<std::string, at::Tensor>> parameters_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
};

}  // namespace yoke::engine
