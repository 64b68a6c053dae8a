// What a training step takes in memory, measured by batch=-1: kept in a cache folder, one file for
// each kind of training, so that the next one need not measure and the daemon can advise before a
// job starts.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace yoke::formats {

// `fixed` whatever the batch, `per_image` for each image of a rank.
struct StepMemory {
  double fixed = 0, per_image = 0;  // bytes

  double Of(double images) const { return fixed + per_image * images; }
};

// The trainings that take the same memory.
struct StepMemoryKind {
  char scale = 'n';  // of the network: n s m l x
  int class_count = 0;
  int64_t side = 0;      // of the largest images, px
  std::string device;    // "cpu", or "cuda" and its memory in MiB: cuda81089
  std::string amp;       // as asked for: auto off bf16 fp16
  uint64_t objects = 0;  // in one image, rounded up to a power of two

  auto operator<=>(const StepMemoryKind&) const = default;
};

// The largest side that a batch can have, px: multi_scale is the share by which sizes vary.
int64_t LargestSide(int64_t imgsz, double multi_scale);

// memory-n-80-640px-cpu-off-128objects.txt
std::string StepMemoryFileName(const StepMemoryKind& kind);
// The file's content; ReadStepMemory reads it back, and answers nothing for a file that is missing
// or damaged.
std::string StepMemoryText(const StepMemory& memory);
std::optional<StepMemory> ReadStepMemory(const std::string& path);

// What is known in `folder` about trainings like `kind`, of any classes and objects: same scale and
// precision, same device (GPUs: memory within 5 %, for drivers and CUDA count it differently), the
// nearest side, its memory per image scaled by the area. Of several the largest.
std::optional<StepMemory> FindStepMemory(const std::string& folder, const StepMemoryKind& kind);

}  // namespace yoke::formats
