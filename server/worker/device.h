// The device and the threads of a rank.
#pragma once

#include "ATen/ATen.h"
#include "absl/status/statusor.h"
#include "common/ipc/attempt_files.h"

namespace yoke::worker {

// What the rank computes on: the CPU for slots ("cpu:0"), CUDA for everything else, and never the
// one for lack of the other. CUDA_UNAVAILABLE (see failure.h): no driver, no CUDA libraries, or the
// device is not seen.
absl::StatusOr<at::Device> OpenDevice(const ipc::RankSpec& rank, int local_rank);

// `threads` for operators, one between them; and a heap that keeps what large tensors leave,
// because mapping and clearing their pages anew costs a fifth of a training step. LibTorch's
// warnings become lines on stderr, for this thread.
void SetUpProcess(int threads);

}  // namespace yoke::worker
