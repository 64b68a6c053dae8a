#include "server/engine/eval/batch_tensors.h"

namespace yoke::engine {

at::Tensor ImagesOf(const Batch& batch, at::Device device) {
  // from_blob takes no const pointer; nothing is written through it.
  auto* pixels = const_cast<uint8_t*>(batch.pixels.data());
  const at::Tensor bytes_BCHW =
      at::from_blob(pixels, {batch.count, 3, batch.height, batch.width}, at::kByte);
  // `to` copies even when nothing but the type changes, so the result is free of `batch`.
  return bytes_BCHW.to(device)
      .to(at::kFloat, /*non_blocking=*/false, /*copy=*/true, at::MemoryFormat::ChannelsLast)
      .div_(255);
}

Targets TargetsOf(const Batch& batch, at::Device device) {
  const auto count = static_cast<int64_t>(batch.labels.size());
  Targets targets{at::empty({count}, at::kLong), at::empty({count}, at::kLong),
                  at::empty({count, 4}, at::kFloat)};
  int64_t* image = targets.image_index_N.data_ptr<int64_t>();
  int64_t* class_id = targets.class_N.data_ptr<int64_t>();
  float* box = targets.boxes_xywh_N4.data_ptr<float>();
  for (const BatchLabel& label : batch.labels) {
    *image++ = label.image;
    *class_id++ = label.class_id;
    for (const float value : {label.x, label.y, label.w, label.h}) *box++ = value;
  }
  return {targets.image_index_N.to(device), targets.class_N.to(device),
          targets.boxes_xywh_N4.to(device)};
}

}  // namespace yoke::engine
