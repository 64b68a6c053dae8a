#include "server/engine/train/grad_scaler.h"

namespace yoke::engine {
namespace {

constexpr double kFirstScale = 65536, kGrowth = 2, kBackoff = 0.5;
constexpr int64_t kGrowthInterval = 2000;
constexpr double kNormEps = 1e-6;

}  // namespace

GradScaler::GradScaler(bool enabled, at::Device device)
    : enabled_(enabled),
      scale_(
          at::full({}, enabled ? kFirstScale : 1.0, at::TensorOptions(at::kFloat).device(device))),
      growth_(at::zeros({}, at::TensorOptions(at::kInt).device(device))) {}

StepScale GradScaler::Examine(const at::Tensor& gradients, double norm_max) const {
  const at::NoGradGuard no_gradients;
  const at::Tensor norm = at::linalg_vector_norm(gradients) / scale_;
  const at::Tensor factor = (norm_max / (norm + kNormEps)).clamp_max(1);
  return {scale_ / factor, at::isfinite(norm).logical_not().to(at::kFloat)};
}

void GradScaler::Update(const at::Tensor& found_inf) {
  if (enabled_)
    at::_amp_update_scale_(scale_, growth_, found_inf, kGrowth, kBackoff, kGrowthInterval);
}

std::map<std::string, at::Tensor> GradScaler::State() const {
  if (!enabled_) return {};
  return {{"scale", scale_.to(at::kCPU).clone()}, {"growth", growth_.to(at::kCPU).clone()}};
}

void GradScaler::LoadState(const std::map<std::string, at::Tensor>& state) {
  if (!enabled_ || !state.contains("scale") || !state.contains("growth")) return;
  scale_.copy_(state.at("scale").reshape({}));
  growth_.copy_(state.at("growth").reshape({}));
}

void GradScaler::Reset() {
  scale_.fill_(enabled_ ? kFirstScale : 1.0);
  growth_.zero_();
}

}  // namespace yoke::engine
