// What computing on a device takes of memory, and what is left of it.
#pragma once

#include <cstdint>
#include <memory>

#include "ATen/ATen.h"

namespace yoke::engine {

class MemoryGauge {
 public:
  virtual ~MemoryGauge() = default;
  // For a CPU: this process's resident memory. Else: what the device's allocator has reserved.
  static std::unique_ptr<MemoryGauge> For(at::Device device);

  // From here on Peak() counts anew.
  virtual void Reset() = 0;
  // The most that was held at once since Reset(), bytes.
  virtual int64_t Peak() = 0;
  // What this process can still take, whoever has the rest: as driver or kernel say it, bytes. What
  // the allocator keeps for reuse is given back first.
  virtual int64_t Free() = 0;
};

// Gives back what the device's allocator keeps for reuse; nothing on a CPU.
void DropCachedMemory(at::Device device);

}  // namespace yoke::engine
