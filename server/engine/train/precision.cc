#include "server/engine/train/precision.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "server/engine/cuda/cuda_module.h"

namespace yoke::engine {
namespace {

// From which bfloat16 is worth it on a CPU.
constexpr double kGainMin = 1.2;
// How far a pass in reduced precision may be from float32: what rounding does to a fresh or a
// trained network stays well inside, what overflow or a broken kernel does not.
constexpr double kLossOff = 0.05, kCosineMin = 0.95;

int CudaCapabilityMajor(at::Device device) {
  const absl::StatusOr<CudaModule*> cuda = CudaModule::Load();
  return cuda.ok() ? (*cuda)->Properties(device.index()).major : 0;
}

double SecondsOfConvolution(at::ScalarType type) {
  const auto options = at::TensorOptions(type);
  const at::Tensor x =
      at::ones({2, 64, 48, 48}, options).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor w = at::ones({64, 64, 3, 3}, options);
  double best = 1e9;
  for (int i = 0; i < 4; ++i) {  // the first makes the primitive
    const auto begin = std::chrono::steady_clock::now();
    at::conv2d(x, w, {}, {1, 1}, {1, 1});
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    best = std::min(best, seconds.count());
  }
  return best;
}

}  // namespace

std::string PrecisionName(Precision precision) {
  if (!precision.has_value()) return "fp32";
  return *precision == at::kHalf ? "fp16" : "bf16";
}

double BFloat16Gain() {
  const at::NoGradGuard no_gradients;
  return SecondsOfConvolution(at::kFloat) / SecondsOfConvolution(at::kBFloat16);
}

absl::StatusOr<Precision> PrecisionOf(const std::string& amp, at::Device device) {
  if (amp == "off") return Precision();
  if (amp == "bf16") return Precision(at::kBFloat16);
  if (amp == "fp16") return Precision(at::kHalf);
  if (amp != "auto") {
    return absl::InvalidArgumentError(
        absl::StrCat("amp=", amp, " is unknown; use auto, bf16, fp16 or false"));
  }
  if (device.is_cpu()) return Precision();
  return Precision(CudaCapabilityMajor(device) >= 8 ? at::kBFloat16 : at::kHalf);
}

absl::StatusOr<Precision> ResolveAmp(const std::string& amp, at::Device device,
                                     const std::function<PassSample(Precision)>& sample,
                                     Observer& observer) {
  YOKE_ASSIGN_OR_RETURN(Precision precision, PrecisionOf(amp, device));
  if (amp != "auto") {
    observer.OnLog(absl::StrCat("precision: ", PrecisionName(precision), ", as asked"));
    return precision;
  }
  std::vector<at::ScalarType> types;  // by preference
  if (device.is_cpu()) {
    const double gain = BFloat16Gain();
    if (gain < kGainMin) {
      observer.OnLog(absl::StrFormat(
          "precision: fp32, chosen by amp=auto (bf16 convolves %.1f times as fast on this CPU)",
          gain));
      return Precision();
    }
    types = {at::kBFloat16};
  } else {
    types = {*precision};
    // Where the digits of bfloat16 are too few, those of float16 may do.
    if (precision == at::kBFloat16) types.push_back(at::kHalf);
  }
  const PassSample exact = sample(Precision());
  std::string refused;
  for (const at::ScalarType type : types) {
    const PassSample reduced = sample(type);
    const double off = std::abs(reduced.loss - exact.loss) / std::max(std::abs(exact.loss), 1e-9);
    const double cosine =
        at::cosine_similarity(exact.gradients, reduced.gradients, 0).item<double>();
    const std::string measured =
        absl::StrFormat("loss %.2f %% off, gradients' cosine %.3f", 100 * off, cosine);
    if (std::isfinite(reduced.loss) && off <= kLossOff && cosine >= kCosineMin) {
      observer.OnLog(absl::StrCat("precision: ", PrecisionName(type),
                                  ", chosen by amp=auto (against fp32: ", measured, refused, ")"));
      return Precision(type);
    }
    absl::StrAppend(&refused, "; ", PrecisionName(type), ": ", measured);
  }
  observer.OnWarning(
      absl::StrCat("amp=auto stays in fp32, reduced precision does not agree with it on this model "
                   "and data: ",
                   refused.substr(2)));
  return Precision();
}

}  // namespace yoke::engine
