// Telling want of memory from other failures.
#pragma once

#include <exception>
#include <new>

#include "absl/strings/match.h"
#include "c10/util/Exception.h"

namespace yoke::engine {

// LibTorch has no type of its own for the CPU's allocator.
inline bool IsOutOfMemory(const std::exception& error) {
  return dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
         (dynamic_cast<const c10::Error*>(&error) != nullptr &&
          absl::StrContains(error.what(), "DefaultCPUAllocator"));
}

}  // namespace yoke::engine
