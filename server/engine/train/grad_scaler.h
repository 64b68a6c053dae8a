// The loss scale of float16 training, as PyTorch's GradScaler has it: the loss is multiplied so
// that small gradients do not vanish; a step whose gradients overflow is left out and halves the
// scale, 2000 good ones double it. Its state stays on the device.
#pragma once

#include <map>
#include <string>

#include "ATen/ATen.h"
#include "server/engine/train/optimizer.h"

namespace yoke::engine {

class GradScaler {
 public:
  // Not `enabled`: the scale is 1 and stays so.
  GradScaler(bool enabled, at::Device device);

  at::Tensor Scaled(const at::Tensor& loss) const { return enabled_ ? loss * scale_ : loss; }

  // How a step has to treat summed gradients (N): divided by the scale, their norm cut to
  // `norm_max`; left out if it is not finite. Waits for nothing.
  StepScale Examine(const at::Tensor& gradients, double norm_max) const;

  // After a step.
  void Update(const at::Tensor& found_inf);

  bool enabled() const { return enabled_; }
  std::map<std::string, at::Tensor> State() const;
  void LoadState(const std::map<std::string, at::Tensor>& state);
  void Reset();

 private:
  const bool enabled_;
  at::Tensor scale_;   // float32 scalar
  at::Tensor growth_;  // int32 scalar: good steps since the last change
};

}  // namespace yoke::engine
