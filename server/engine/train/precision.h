// Mixed precision: which type the network computes in, and whether that is right and worth it here.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "ATen/autocast_mode.h"
#include "absl/status/statusor.h"
#include "server/engine/observer.h"

namespace yoke::engine {

// The type of reduced precision to use; none: float32.
using Precision = std::optional<at::ScalarType>;
std::string PrecisionName(Precision precision);  // "fp32", "bf16", "fp16"

// What one forward and backward pass gives, to be compared between types.
struct PassSample {
  double loss = 0;
  at::Tensor gradients;  // (N) float32
};

// `amp`: auto | off | bf16 | fp16. `auto` takes bfloat16 on GPUs that have it, else float16,
// bfloat16 on CPUs that convolve faster in it (which is measured); and only if a pass over the
// user's own model and images agrees with float32: `sample(precision)` is called for each type
// tried. Whatever is decided is told `observer`. InvalidArgument: not one of the words.
absl::StatusOr<Precision> ResolveAmp(const std::string& amp, at::Device device,
                                     const std::function<PassSample(Precision)>& sample,
                                     Observer& observer);

// Without a model to compare: what the device is best at. On CPUs `auto` is float32.
absl::StatusOr<Precision> PrecisionOf(const std::string& amp, at::Device device);

// How many times faster a convolution is in bfloat16 on this CPU, measured in some 20 ms.
double BFloat16Gain();

// Matrix products in the reduced type for a scope, what needs it in float32.
class Autocast {
 public:
  Autocast(at::Device device, Precision precision) : device_(device.type()) {
    if (!precision.has_value()) return;
    active_ = true;
    at::autocast::set_autocast_enabled(device_, true);
    at::autocast::set_autocast_dtype(device_, *precision);
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
