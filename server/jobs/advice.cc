// What people are told before a job starts: the banner, and advice on memory.
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/formats/step_memory_file.h"
#include "server/jobs/spec.h"

namespace yoke::jobs {
namespace {

// GiB per GPU at 640 px with mixed precision: what stays (weights, optimiser, CUDA itself), and
// what each image adds. Rounded figures after the published re-training of YOLOv8 with 16 images a
// GPU (n 2.8, s 4.0, m 7.2, l 9.8, x 12.2 GB); advice, not a measurement of this machine.
struct MemoryFigures {
  double fixed, per_image;
};
const std::map<char, MemoryFigures> kMemory = {{'n', {1.0, 0.11}},
                                               {'s', {1.2, 0.18}},
                                               {'m', {1.6, 0.35}},
                                               {'l', {2.2, 0.48}},
                                               {'x', {3.0, 0.58}}};

char ScaleOf(const std::string& model) {
  const size_t at = model.rfind("yolov8");
  const char scale = at == std::string::npos || at + 6 >= model.size() ? '\0' : model[at + 6];
  return kMemory.contains(scale) ? scale : '\0';
}

// batch=-1 does not measure what CUDA itself takes of a GPU.
constexpr double kCudaBytes = 0.5 * (1 << 30);
constexpr double kGib = 1 << 30;

std::optional<formats::StepMemory> Measured(const v1::TrainSpec& train, char scale,
                                            const RankMemory& memory, const MeasuredMemory& look) {
  const std::string& amp = train.amp();
  formats::StepMemoryKind kind;
  kind.scale = scale;
  kind.side = formats::LargestSide(train.imgsz(), train.multi_scale());
  kind.device = memory.gpu ? absl::StrCat("cuda", memory.bytes >> 20) : "cpu";
  kind.amp = amp == "true" ? "auto" : amp == "false" ? "off" : amp;
  std::optional<formats::StepMemory> found = look(kind);
  if (found.has_value() && memory.gpu) found->fixed += kCudaBytes;
  return found;
}

formats::StepMemory Estimated(const v1::TrainSpec& train, char scale) {
  const double area = train.imgsz() / 640.0 * (train.imgsz() / 640.0);
  const MemoryFigures& figures = kMemory.at(scale);
  return {figures.fixed * kGib, figures.per_image * area * kGib};
}

}  // namespace

std::vector<std::string> Advice(const v1::JobSpec& resolved, int world_size,
                                const RankMemory& memory, const MeasuredMemory& look) {
  const v1::TrainSpec* train = TrainPart(resolved);
  const char scale = train == nullptr ? '\0' : ScaleOf(train->model());
  if (scale == '\0' || world_size < 1 || memory.bytes <= 0 || train->batch() < 1) return {};
  const std::optional<formats::StepMemory> measured = Measured(*train, scale, memory, look);
  if (!measured.has_value() && !memory.gpu) return {};
  const formats::StepMemory step = measured.value_or(Estimated(*train, scale));
  const double need = step.Of(train->batch() / world_size),
               have = static_cast<double>(memory.bytes);
  const char* const device = memory.gpu ? "GPU" : "CPU device";
  std::vector<std::string> advice = {absl::StrFormat(
      "YOLOv8%c, batch %d on %d %s%s: about %.*f GB each (%s)", scale, train->batch(), world_size,
      device, world_size == 1 ? "" : "s", need < 10 * kGib ? 1 : 0, need / kGib,
      measured.has_value() ? "as measured by batch=-1" : "estimate")};
  if (need > have) {
    const int fits = static_cast<int>((have - step.fixed) / step.per_image);
    const std::string remedy = fits < 1 ? "use a smaller imgsz or model"
                                        : absl::StrCat("batch=", fits * world_size,
                                                       " should fit, or a smaller imgsz or model");
    advice.push_back(absl::StrFormat(
        "that is more than the %.0f GB of %s; %s", have / kGib,
        memory.gpu ? "the smallest GPU" : "memory that a rank can have here", remedy));
  }
  return advice;
}

std::vector<std::string> Banner(const v1::JobSpec& resolved,
                                const std::vector<std::string>& device_words, bool gpus) {
  const v1::TrainSpec* train = TrainPart(resolved);
  const int count = static_cast<int>(device_words.size());
  std::vector<std::string> lines = {absl::StrCat(gpus ? "GPUs: " : "CPU devices: ", count),
                                    absl::StrCat("Devices: ", absl::StrJoin(device_words, ", "))};
  if (train != nullptr && count > 0) {
    if (train->batch() < 0) {
      lines.push_back("Total batch: the most that fits, found on the devices");
    } else {
      lines.push_back(absl::StrCat("Total batch: ", train->batch()));
      lines.push_back(absl::StrCat("Batch per device: ", train->batch() / count));
    }
    lines.push_back(count > 1 ? absl::StrCat("Method: DDP (", gpus ? "NCCL" : "gloo", ")")
                              : std::string("Method: single device"));
  }
  return lines;
}

}  // namespace yoke::jobs
