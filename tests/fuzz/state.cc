// Any bytes as the header of a training state with a kilobyte of tensors: all that it names lies
// there, and it reads back what it writes.
#include "server/engine/checkpoint/state_layout.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t kDataBytes = 1024;
  const auto layout = yoke::engine::DecodeLayout(yoke::fuzz::Text(data, size), kDataBytes);
  if (!layout.ok()) {
    YOKE_CHECK(absl::IsDataLoss(layout.status()));
    yoke::fuzz::CheckRefusal(layout.status());
    return 0;
  }
  YOKE_CHECK(layout->generation > 0);
  for (const auto& tensor : layout->tensors) {
    uint64_t bytes = yoke::engine::ElementBytesOf(tensor.type);
    for (const int64_t side : tensor.shape) bytes *= static_cast<uint64_t>(side);
    YOKE_CHECK(bytes == tensor.bytes && bytes <= kDataBytes && tensor.offset <= kDataBytes - bytes);
  }
  const auto again = yoke::engine::DecodeLayout(yoke::engine::EncodeLayout(*layout), kDataBytes);
  YOKE_CHECK(again.ok() && again->tensors.size() == layout->tensors.size());
  return 0;
}
