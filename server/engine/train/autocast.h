// Mixed precision for a scope: matrix products in bfloat16, what needs it in float32.
#pragma once

#include <optional>
#include <string>

#include "ATen/autocast_mode.h"
#include "absl/status/statusor.h"

namespace yoke::engine {

// The type to compute in, or none for float32. `auto` is bfloat16 on GPUs and float32 on CPUs,
// where it has to prove itself first. InvalidArgument: fp16, which needs a gradient scaler.
inline absl::StatusOr<std::optional<at::ScalarType>> ResolveAmp(const std::string& amp,
                                                                at::Device device) {
  if (amp == "off" || (amp == "auto" && device.is_cpu())) return std::nullopt;
  if (amp == "auto" || amp == "bf16") return at::kBFloat16;
  return absl::InvalidArgumentError("amp=" + amp + " is not supported; use auto, bf16 or false");
}

class Autocast {
 public:
  Autocast(at::Device device, std::optional<at::ScalarType> type) : device_(device.type()) {
    if (!type.has_value()) return;
    active_ = true;
    at::autocast::set_autocast_enabled(device_, true);
    at::autocast::set_autocast_dtype(device_, *type);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    if (!active_) return;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, false);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  const c10::DeviceType device_;
  bool active_ = false;
};

}  // namespace yoke::engine
