// Averages gradients over the ranks while the backward pass still runs (c10d's Reducer, in buckets).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/distributed/group.h"

namespace yoke::engine {

class GradientReducer {
 public:
  virtual ~GradientReducer() = default;
  // Call after the forward pass, before `loss.backward()`: that pass then ends with averaged gradients on every
  // rank. Without the call the pass keeps its own gradients (accumulation without communication).
  virtual absl::Status Prepare(const at::Tensor& loss) = 0;
};

// `parameters`: those that are trained, in the same order on all ranks; each must get a gradient in every pass.
// The reducer hooks into their autograd graph for as long as it lives. A group of one gets a reducer that does nothing.
absl::StatusOr<std::unique_ptr<GradientReducer>> MakeGradientReducer(const std::vector<at::Tensor>& parameters, Group& group);

}  // namespace yoke::engine
