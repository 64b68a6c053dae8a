#include "server/engine/train/tensor_heap.h"

#include <malloc.h>

#include <cstdint>
#include <cstdlib>

#include "c10/core/Allocator.h"
#include "c10/core/CPUAllocator.h"

namespace yoke::engine {
namespace {

constexpr int kKeptBytes = 1 << 30;
constexpr size_t kAlignment = 64;  // a cache line, and LibTorch's own

// The block's address is kept in the word before the aligned one.
void Free(void* aligned) {
  if (aligned != nullptr) std::free(static_cast<void**>(aligned)[-1]);
}

class HeapAllocator final : public at::Allocator {
 public:
  explicit HeapAllocator(at::Allocator& fallback) : fallback_(fallback) {}

  at::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &Free, at::kCPU};
    void* block = std::malloc(bytes + kAlignment);
    while (block == nullptr) {
      fallback_.allocate(bytes + kAlignment);  // throws the error that callers know, unless there is memory by now
      block = std::malloc(bytes + kAlignment);
    }
    // malloc aligns to 16, so at least that much lies before it.
    void* const aligned = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(block) + kAlignment) & ~(kAlignment - 1));
    static_cast<void**>(aligned)[-1] = block;
    return {aligned, aligned, &Free, at::kCPU};
  }

  at::DeleterFnPtr raw_deleter() const override { return &Free; }

  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

 private:
  at::Allocator& fallback_;
};

}  // namespace

void KeepTensorMemory() {
  mallopt(M_MMAP_THRESHOLD, kKeptBytes);
  mallopt(M_TRIM_THRESHOLD, kKeptBytes);
  static HeapAllocator allocator(*c10::GetDefaultCPUAllocator());
  c10::SetCPUAllocator(&allocator, /*priority=*/1);
}

}  // namespace yoke::engine
