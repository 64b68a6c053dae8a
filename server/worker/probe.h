// What this worker and this machine can compute with, for `yoke check` and the self-test.
#pragma once

#include "nlohmann/json.hpp"

namespace yoke::worker {

// {"version", "torch", "opencv", "cpu": {capability, cores, avx512Bf16}, "cuda": bool,
// "cudaMessage", "devices": [{index, name, computeCapability, memoryTotalBytes, memoryFreeBytes}]}.
// Without CUDA, "cudaMessage" says why.
nlohmann::json Probe();

}  // namespace yoke::worker
