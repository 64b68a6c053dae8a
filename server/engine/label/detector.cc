#include "server/engine/label/detector.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "c10/core/InferenceMode.h"
#include "common/base/status_macros.h"
#include "server/engine/checkpoint/weights.h"

namespace yoke::engine {
namespace {

// `auto` keeps float32 on CPUs: there the reduced types have to prove themselves first.
absl::StatusOr<at::ScalarType> TypeOf(const std::string& amp, at::Device device) {
  if (amp == "off" || (amp == "auto" && device.is_cpu())) return at::kFloat;
  if (amp == "auto" || amp == "bf16") return at::kBFloat16;
  if (amp == "fp16" && !device.is_cpu()) return at::kHalf;
  return absl::InvalidArgumentError(absl::StrCat(
      "amp=", amp, " is not possible here; use auto, off, bf16", device.is_cpu() ? "" : ", fp16"));
}

absl::Status CheckClasses(const std::vector<int>& classes, const Weights& weights,
                          const std::string& model) {
  for (int id : classes) {
    if (id >= 0 && id < weights.spec.class_count) continue;
    return absl::InvalidArgumentError(absl::StrCat("classes: ", id, " is no class of ", model,
                                                   ", which has 0 to ",
                                                   weights.spec.class_count - 1));
  }
  return absl::OkStatus();
}

// (B, 3, H, W) RGB in [0, 1], channels last.
at::Tensor ImagesOf(absl::Span<const LabelInput> batch, at::Device device, at::ScalarType type) {
  const ImageSize shape = batch.front().fit.input;
  const at::Tensor bytes_BCHW =
      at::empty({static_cast<int64_t>(batch.size()), 3, shape.height, shape.width}, at::kByte);
  auto* pixels = bytes_BCHW.data_ptr<uint8_t>();
  for (const LabelInput& input : batch) {
    std::memcpy(pixels, input.rgb.data(), input.rgb.size());
    pixels += input.rgb.size();
  }
  return bytes_BCHW.to(device)
      .to(at::kFloat, /*non_blocking=*/false, /*copy=*/false, at::MemoryFormat::ChannelsLast)
      .div_(255)
      .to(type);
}

}  // namespace

absl::StatusOr<Detector> Detector::Load(const LabelConfig& config, at::Device device) {
  if (config.models.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("labelling takes one model, not ", config.models.size()));
  }
  const std::string& path = config.models.front();
  YOKE_ASSIGN_OR_RETURN(const at::ScalarType type, TypeOf(config.amp, device));
  YOKE_ASSIGN_OR_RETURN(Weights weights, ReadWeights(path));
  YOKE_RETURN_IF_ERROR(CheckClasses(config.classes, weights, path));
  Detector detector(device, type);
  YOKE_ASSIGN_OR_RETURN(detector.model_, DetectionModel::Create(weights.spec));
  const TransferReport transfer = Transfer(weights, *detector.model_);
  if (transfer.copied != transfer.total) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": ", transfer.skipped.size(), " of ", transfer.total,
        " tensors are missing or of another shape, the first is ", transfer.skipped.front()));
  }
  try {
    detector.model_->eval();
    detector.model_->Fuse();
    detector.model_->to(device, type);
  } catch (const c10::Error& error) {
    return absl::InternalError(absl::StrCat("cannot move ", path, " to ", device.str(), ": ",
                                            error.what_without_backtrace()));
  }
  detector.names_ = std::move(weights.names);
  if (device.is_cpu()) detector.lanes_ = std::make_unique<Lanes>(config.batch);
  detector.nms_.conf = config.conf;
  detector.nms_.iou = config.iou;
  detector.nms_.max_det = config.max_det;
  detector.nms_.agnostic = config.agnostic_nms;
  detector.nms_.classes = config.classes;
  return detector;
}

absl::StatusOr<std::vector<std::vector<Detection>>> Detector::Detect(
    absl::Span<const LabelInput> batch) {
  return lanes_ == nullptr ? DetectAtOnce(batch) : DetectOneByOne(batch);
}

absl::StatusOr<Detector::Detections> Detector::DetectOneByOne(absl::Span<const LabelInput> batch) {
  std::vector<absl::StatusOr<Detections>> found(batch.size());
  lanes_->ForEach(batch.size(), [&](size_t i) { found[i] = DetectAtOnce(batch.subspan(i, 1)); });
  Detections detections;
  for (absl::StatusOr<Detections>& one : found) {
    YOKE_RETURN_IF_ERROR(one.status());
    detections.push_back(std::move(one->front()));
  }
  return detections;
}

absl::StatusOr<Detector::Detections> Detector::DetectAtOnce(
    absl::Span<const LabelInput> batch) const {
  Detections detections;
  try {
    const c10::InferenceMode no_gradients;
    detections = NonMaxSuppression(model_->Predict(ImagesOf(batch, device_, type_)), nms_);
  } catch (const c10::OutOfMemoryError& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("not enough memory for ", batch.size(),
                     " images at once; lower batch or imgsz: ", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("the network failed: ", error.what()));
  }
  for (size_t i = 0; i < batch.size(); ++i) {
    for (Detection& detection : detections[i]) detection = ToPhoto(detection, batch[i].fit);
  }
  return detections;
}

}  // namespace yoke::engine
