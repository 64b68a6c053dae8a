#include "server/engine/train/memory_gauge.h"

#include <fstream>

#include "c10/core/CachingDeviceAllocator.h"
#include "server/engine/data/host_memory.h"

namespace yoke::engine {
namespace {

class ResidentMemory : public MemoryGauge {
 public:
  // Where the kernel refuses to reset the mark (some sandboxes), it stays that of the largest use
  // so far: right for uses that grow.
  void Reset() override { std::ofstream("/proc/self/clear_refs") << "5"; }

  int64_t Peak() override { return PeakResidentMemory(); }
  int64_t Free() override { return FreeHostMemory(); }
};

class ReservedMemory : public MemoryGauge {
 public:
  explicit ReservedMemory(at::Device device)
      : device_(device),
        index_(device.has_index() ? device.index() : c10::DeviceIndex{0}),
        allocator_(*c10::getDeviceAllocator(device.type())) {}

  void Reset() override {
    DropCachedMemory(device_);
    allocator_.resetPeakStats(index_);
  }

  int64_t Peak() override { return allocator_.getDeviceStats(index_).reserved_bytes[0].peak; }

  int64_t Free() override {
    DropCachedMemory(device_);
    return static_cast<int64_t>(allocator_.getMemoryInfo(index_).first);
  }

 private:
  const at::Device device_;
  const c10::DeviceIndex index_;
  c10::DeviceAllocator& allocator_;
};

}  // namespace

std::unique_ptr<MemoryGauge> MemoryGauge::For(at::Device device) {
  if (device.is_cpu()) return std::make_unique<ResidentMemory>();
  return std::make_unique<ReservedMemory>(device);
}

void DropCachedMemory(at::Device device) {
  if (!device.is_cpu()) c10::getDeviceAllocator(device.type())->emptyCache();
}

}  // namespace yoke::engine
