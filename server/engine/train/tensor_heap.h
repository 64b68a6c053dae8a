// Memory of tensors on CPUs: taken from the heap, and kept by the process once it has it, so that a training step
// finds the pages of the one before it.
#pragma once

namespace yoke::engine {

// Call once, before the first tensor. Tensors are then allocated by malloc, aligned to 64 bytes by hand, and blocks
// up to 1 GiB stay with the process.
//
// LibTorch's own allocator asks glibc for aligned memory, and glibc (2.36) does not find the block of the same size that
// was freed last: with batches of 16 images of 640 px the heap of a training of yolov8n grew to 6.9 GB instead of 2.9.
void KeepTensorMemory();

}  // namespace yoke::engine
