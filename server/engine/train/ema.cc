#include "server/engine/train/ema.h"

#include <cmath>

#include "ATen/core/grad_mode.h"
#include "common/base/status_macros.h"

namespace yoke::engine {
namespace {

constexpr double kDecayMax = 0.9999;
constexpr double kRampUpdates = 2000;

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

absl::StatusOr<std::unique_ptr<Ema>> Ema::Create(DetectionModel& model, const FlatModel& flat) {
  auto ema = std::make_unique<Ema>();
  YOKE_ASSIGN_OR_RETURN(ema->model_, DetectionModel::Create(model.spec()));
  ema->model_->to(flat.values().device());
  for (at::Tensor& parameter : ema->model_->parameters()) parameter.set_requires_grad(false);
  CopyState(StateOf(model), *ema->model_);  // what is not floating, too
  ema->averages_ = flat.Follow(*ema->model_);
  ema->followed_ = flat.values();
  ema->model_->eval();
  return ema;
}

void Ema::Update() {
  ++updates_;
  const double decay = kDecayMax * (1 - std::exp(-static_cast<double>(updates_) / kRampUpdates));
  averages_.lerp_(followed_, 1 - decay);
}

void Ema::Restart() {
  averages_.copy_(followed_);
  updates_ = 0;
}

}  // namespace yoke::engine
