#include "server/engine/eval/batch_tensors.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "c10/core/Event.h"
#include "c10/core/StreamGuard.h"
#include "c10/core/impl/VirtualGuardImpl.h"

namespace yoke::engine {
namespace {

// What brings a batch to `device` while it still works on the one before. Each thread has its own.
c10::Stream CopyStream(at::Device device) {
  thread_local std::optional<c10::Stream> stream;
  if (!stream.has_value() || stream->device() != device)
    stream = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
  return *stream;
}

// Out of pinned memory a device fetches the bytes by itself while the host goes on; what is
// launched from now on waits for them.
at::Tensor Sent(const at::Tensor& here, at::Device device) {
  if (device.is_cpu()) return here;
  const c10::Stream work = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
  const c10::Stream copies = CopyStream(device);
  at::Tensor there;
  {
    const c10::StreamGuard on_copies(copies);
    there = here.pin_memory().to(device, /*non_blocking=*/true);
  }
  c10::Event arrived(device.type());
  arrived.record(copies);
  arrived.block(work);
  there.record_stream(work);  // its memory is free when `work` is done with it
  return there;
}

}  // namespace

at::Tensor ImagesOf(const Batch& batch, at::Device device) {
  // from_blob takes no const pointer; nothing is written through it.
  auto* pixels = const_cast<uint8_t*>(batch.pixels.data());
  const at::Tensor bytes_BCHW =
      at::from_blob(pixels, {batch.count, 3, batch.height, batch.width}, at::kByte);
  return ImagesFrom(bytes_BCHW, device);
}

at::Tensor ImagesFrom(const at::Tensor& bytes_BCHW, at::Device device) {
  // `to` copies even when nothing but the type changes, so the result is free of the bytes.
  return Sent(bytes_BCHW, device)
      .to(at::kFloat, /*non_blocking=*/false, /*copy=*/true, at::MemoryFormat::ChannelsLast)
      .div_(255);
}

Targets TargetsOf(const Batch& batch, at::Device device) {
  std::vector<int64_t> rows(static_cast<size_t>(batch.count), 0);
  for (const BatchLabel& label : batch.labels) ++rows[static_cast<size_t>(label.image)];
  const int64_t most = rows.empty() ? 0 : *std::max_element(rows.begin(), rows.end());
  Targets targets{at::zeros({batch.count, most}, at::kLong),
                  at::zeros({batch.count, most, 4}, at::kFloat)};
  int64_t* class_id = targets.class_BM.data_ptr<int64_t>();
  float* box = targets.boxes_xywh_BM4.data_ptr<float>();
  std::fill(rows.begin(), rows.end(), 0);
  for (const BatchLabel& label : batch.labels) {
    const int64_t row = label.image * most + rows[static_cast<size_t>(label.image)]++;
    class_id[row] = label.class_id;
    const float values[] = {label.x, label.y, label.w, label.h};
    std::copy(values, values + 4, box + 4 * row);
  }
  return {Sent(targets.class_BM, device), Sent(targets.boxes_xywh_BM4, device)};
}

}  // namespace yoke::engine
