// Adds up gradients over the ranks while the backward pass still runs, in pieces of one flat
// tensor.
//
// Not c10d's Reducer: a pass that ends early on one rank (out of memory) must not leave its peers
// in a collective that never completes. Here such a rank still takes part in what is left of the
// exchange, all agree that one of them failed, and all do the pass again.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/distributed/group.h"

namespace yoke::engine {

// A trained parameter whose gradient is gradients[offset, offset + numel).
struct GradientPlace {
  at::Tensor parameter;
  int64_t offset = 0;
};

class GradientExchange {
 public:
  virtual ~GradientExchange() = default;
  // The next backward pass ends with sums over ranks. Without it a pass adds to this rank's own
  // gradients.
  virtual void Arm() = 0;
  // After an armed pass, or what there was of it: exchanges the rest and waits. REQUIRES: every
  // rank armed. Unavailable: a peer was lost.
  virtual absl::Status Finish() = 0;
};

// `gradients`: (N) float32, every parameter's gradient a view of it. `places`: by offset, the same
// on all ranks; each parameter must get a gradient in every pass. Hooks into the parameters'
// autograd graph for as long as it lives. For a group of one it does nothing.
absl::StatusOr<std::unique_ptr<GradientExchange>> MakeGradientExchange(
    const at::Tensor& gradients, const std::vector<GradientPlace>& places, Group& group);

}  // namespace yoke::engine
