#include "common/formats/step_memory_file.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace yoke::formats {
namespace {

constexpr char kGpu[] = "cuda";
constexpr double kGpuTolerance = 0.05;
constexpr int kStride = 32;  // the network takes multiples of it

std::optional<StepMemoryKind> ParseFileName(absl::string_view name) {
  const std::vector<std::string> words = absl::StrSplit(name, '-');
  StepMemoryKind kind;
  if (words.size() != 7 || words[0] != "memory" || words[1].size() != 1) return std::nullopt;
  absl::string_view side = words[3], objects = words[6];
  if (!absl::SimpleAtoi(words[2], &kind.class_count) || !absl::ConsumeSuffix(&side, "px") ||
      !absl::SimpleAtoi(side, &kind.side) || kind.side <= 0 ||
      !absl::ConsumeSuffix(&objects, "objects.txt") || !absl::SimpleAtoi(objects, &kind.objects)) {
    return std::nullopt;
  }
  kind.scale = words[1][0];
  kind.device = words[4];
  kind.amp = words[5];
  return kind;
}

bool SameDevice(absl::string_view a, absl::string_view b) {
  double a_mib = 0, b_mib = 0;
  if (!absl::ConsumePrefix(&a, kGpu) || !absl::ConsumePrefix(&b, kGpu)) return a == b;
  return absl::SimpleAtod(a, &a_mib) && absl::SimpleAtod(b, &b_mib) &&
         std::abs(a_mib - b_mib) <= kGpuTolerance * b_mib;
}

}  // namespace

int64_t LargestSide(int64_t imgsz, double multi_scale) {
  const double side = static_cast<double>(imgsz) * (1 + multi_scale);
  return static_cast<int64_t>(std::ceil(side / kStride)) * kStride;
}

std::string StepMemoryFileName(const StepMemoryKind& kind) {
  return absl::StrFormat("memory-%c-%d-%dpx-%s-%s-%dobjects.txt", kind.scale, kind.class_count,
                         kind.side, kind.device, kind.amp, kind.objects);
}

std::string StepMemoryText(const StepMemory& memory) {
  return absl::StrFormat("%.0f %.0f\n", memory.fixed, memory.per_image);
}

std::optional<StepMemory> ReadStepMemory(const std::string& path) {
  StepMemory memory;
  std::ifstream file(path);
  if (!(file >> memory.fixed >> memory.per_image)) return std::nullopt;
  return memory.per_image >= 1 && memory.fixed >= 0 ? std::optional(memory) : std::nullopt;
}

std::optional<StepMemory> FindStepMemory(const std::string& folder, const StepMemoryKind& kind) {
  std::optional<StepMemory> found;
  double found_off = 0;  // how far its side is, as the logarithm of a ratio
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    const auto known = ParseFileName(entry.path().filename().string());
    if (!known.has_value() || known->scale != kind.scale || known->amp != kind.amp ||
        !SameDevice(known->device, kind.device)) {
      continue;
    }
    std::optional<StepMemory> memory = ReadStepMemory(entry.path());
    if (!memory.has_value()) continue;
    const double ratio = static_cast<double>(kind.side) / static_cast<double>(known->side);
    const double off = std::abs(std::log(ratio));
    memory->per_image *= ratio * ratio;
    const bool larger = found.has_value() && off == found_off && memory->Of(1) > found->Of(1);
    if (!found.has_value() || off < found_off || larger) {
      found = memory;
      found_off = off;
    }
  }
  return found;
}

}  // namespace yoke::formats
