// How much memory this process may still take.
#pragma once

#include <cstdint>
#include <string>

namespace yoke::engine {

// Bytes that can be had without swapping: what the kernel counts as available, or what the limit of
// a control group (version 2) that this process is in leaves, if that is less. `root` has /proc and
// /sys in it. 0 if neither can be read.
int64_t FreeHostMemory(const std::string& root = "");

// The most memory that this process had resident at once, bytes. 0 if it cannot be read.
int64_t PeakResidentMemory();

}  // namespace yoke::engine
