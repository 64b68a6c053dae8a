#include "server/engine/train/ema.h"

#include <cmath>

#include "ATen/core/grad_mode.h"
#include "ATen/ops/_foreach_lerp.h"
#include "common/base/status_macros.h"

namespace yoke::engine {
namespace {

constexpr double kDecayMax = 0.9999;
constexpr double kRampUpdates = 2000;

std::vector<at::Tensor> FloatingEntries(const DetectionModel& model) {
  std::vector<at::Tensor> entries;
  for (const auto& [name, tensor] : StateOf(model)) {
    if (tensor.is_floating_point()) entries.push_back(tensor.detach());
  }
  return entries;
}

}  // namespace

std::map<std::string, at::Tensor> StateOf(const DetectionModel& model) {
  std::map<std::string, at::Tensor> state;
  for (const auto& entry : model.named_parameters()) state[entry.key()] = entry.value().detach();
  for (const auto& entry : model.named_buffers()) state[entry.key()] = entry.value();
  return state;
}

void CopyState(const std::map<std::string, at::Tensor>& from, DetectionModel& to) {
  const at::NoGradGuard no_gradients;
  for (auto& [name, tensor] : StateOf(to)) {
    const auto found = from.find(name);
    if (found != from.end()) tensor.copy_(found->second);
  }
}

absl::StatusOr<std::unique_ptr<Ema>> Ema::Create(DetectionModel& model, at::Device device) {
  auto ema = std::make_unique<Ema>();
  YOKE_ASSIGN_OR_RETURN(ema->model_, DetectionModel::Create(model.spec()));
  ema->model_->to(device);
  CopyState(StateOf(model), *ema->model_);
  for (at::Tensor& parameter : ema->model_->parameters()) parameter.set_requires_grad(false);
  ema->model_->eval();
  ema->averages_ = FloatingEntries(*ema->model_);
  ema->followed_ = FloatingEntries(model);
  return ema;
}

void Ema::Update() {
  const at::NoGradGuard no_gradients;
  ++updates_;
  const double decay = kDecayMax * (1 - std::exp(-static_cast<double>(updates_) / kRampUpdates));
  at::_foreach_lerp_(averages_, followed_, 1 - decay);
}

}  // namespace yoke::engine
