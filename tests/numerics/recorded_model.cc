#include "tests/numerics/recorded_model.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/match.h"
#include "tests/numerics/golden_file.h"

namespace yoke::engine {

void FillConvolutions(DetectionModel& model, uint32_t first_seed) {
  const at::NoGradGuard no_gradients;
  std::map<std::string, at::Tensor> weights;
  for (const auto& item : model.named_parameters()) {
    const bool drawn = item.value().dim() == 4 && !absl::StrContains(item.key(), ".dfl.");
    if (drawn) weights[item.key()] = item.value();
  }
  for (auto& [name, weight] : weights) {
    const double bound = 2 / std::sqrt(static_cast<double>(weight[0].numel()));
    weight.copy_((RecordedUniform(first_seed++, weight.numel()).view(weight.sizes()) - 0.5) *
                 bound);
  }
}

at::Tensor Sampled(const at::Tensor& tensor, int64_t count) {
  const at::Tensor flat = tensor.detach().flatten();
  count = std::min(count, flat.numel());
  const at::Tensor places = (at::arange(count, at::kLong) * flat.numel()).floor_divide(count);
  return flat.index_select(0, places);
}

}  // namespace yoke::engine
