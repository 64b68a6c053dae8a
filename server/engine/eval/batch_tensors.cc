#include "server/engine/eval/batch_tensors.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "c10/core/Event.h"
#include "c10/core/StreamGuard.h"
#include "c10/core/impl/VirtualGuardImpl.h"

namespace yoke::engine {
namespace {

// What brings a batch to a device while it still works on the one before.
struct Copies {
  explicit Copies(at::Device device)
      : stream(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device)),
        converted(device.type()) {}
  c10::Stream stream;
  c10::Event converted;  // the bytes of the latest batch are used: others may lie there
};

// Each thread has its own.
Copies& CopiesTo(at::Device device) {
  thread_local std::optional<Copies> copies;
  if (!copies.has_value() || copies->stream.device() != device) copies.emplace(device);
  return *copies;
}

c10::Stream WorkOf(at::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

// Out of pinned memory a device fetches the bytes by itself while the host goes on; what is
// launched from now on waits for them. The memory is the copies' again as soon as nobody holds it.
at::Tensor Sent(const at::Tensor& here, at::Device device) {
  Copies& copies = CopiesTo(device);
  copies.converted.block(copies.stream);
  at::Tensor there;
  {
    const c10::StreamGuard on_copies(copies.stream);
    there = here.pin_memory().to(device, /*non_blocking=*/true);
  }
  c10::Event arrived(device.type());
  arrived.record(copies.stream);
  arrived.block(WorkOf(device));
  return there;
}

// For tensors that steps go on using: their memory is free when those are over.
at::Tensor SentToStay(const at::Tensor& here, at::Device device) {
  if (device.is_cpu()) return here;
  at::Tensor there = Sent(here, device);
  there.record_stream(WorkOf(device));
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
  at::Tensor images_BCHW =
      (device.is_cpu() ? bytes_BCHW : Sent(bytes_BCHW, device))
          .to(at::kFloat, /*non_blocking=*/false, /*copy=*/true, at::MemoryFormat::ChannelsLast)
          .div_(255);
  if (!device.is_cpu()) CopiesTo(device).converted.record(WorkOf(device));
  return images_BCHW;
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
  return {SentToStay(targets.class_BM, device), SentToStay(targets.boxes_xywh_BM4, device)};
}

}  // namespace yoke::engine
