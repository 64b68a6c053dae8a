// What people are told before a job starts: the banner, and advice on memory.
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "server/jobs/spec.h"

namespace yoke::jobs {
namespace {

// GiB per GPU at 640 px with mixed precision: what stays (weights, optimiser, CUDA itself), and what each
// image adds. Rounded figures after the published re-training of YOLOv8 with 16 images a GPU (n 2.8, s 4.0,
// m 7.2, l 9.8, x 12.2 GB); advice, not a measurement of this machine.
struct MemoryFigures {
  double fixed, per_image;
};
const std::map<char, MemoryFigures> kMemory = {{'n', {1.0, 0.11}}, {'s', {1.2, 0.18}}, {'m', {1.6, 0.35}}, {'l', {2.2, 0.48}}, {'x', {3.0, 0.58}}};

char ScaleOf(const std::string& model) {
  const size_t at = model.rfind("yolov8");
  const char scale = at == std::string::npos || at + 6 >= model.size() ? '\0' : model[at + 6];
  return kMemory.contains(scale) ? scale : '\0';
}

}  // namespace

std::vector<std::string> Advice(const v1::JobSpec& resolved, int world_size, int64_t smallest_memory_bytes) {
  const v1::TrainSpec* train = TrainPart(resolved);
  const char scale = train == nullptr ? '\0' : ScaleOf(train->model());
  if (scale == '\0' || world_size < 1 || smallest_memory_bytes <= 0 || train->batch() < 1) return {};
  const int per_rank = train->batch() / world_size;
  const double area = train->imgsz() / 640.0 * (train->imgsz() / 640.0);
  const MemoryFigures& figures = kMemory.at(scale);
  const double need = figures.fixed + figures.per_image * per_rank * area;
  const double have = static_cast<double>(smallest_memory_bytes) / (1 << 30);
  std::vector<std::string> advice = {absl::StrFormat("YOLOv8%c, batch %d on %d GPU%s: about %.0f GB each (estimate)", scale, train->batch(), world_size,
                                                     world_size == 1 ? "" : "s", need)};
  if (need > have) {
    const int fits = std::max(1, static_cast<int>((have - figures.fixed) / (figures.per_image * area)));
    advice.push_back(absl::StrFormat("that is more than the %.0f GB of the smallest GPU; batch=%d should fit, or a smaller imgsz or model", have,
                                     fits * world_size));
  }
  return advice;
}

std::vector<std::string> Banner(const v1::JobSpec& resolved, const std::vector<std::string>& device_words, bool gpus) {
  const v1::TrainSpec* train = TrainPart(resolved);
  const int count = static_cast<int>(device_words.size());
  std::vector<std::string> lines = {absl::StrCat(gpus ? "GPUs: " : "CPU devices: ", count), absl::StrCat("Devices: ", absl::StrJoin(device_words, ", "))};
  if (train != nullptr && count > 0) {
    if (train->batch() < 0) {
      lines.push_back("Total batch: the most that fits, found on the devices");
    } else {
      lines.push_back(absl::StrCat("Total batch: ", train->batch()));
      lines.push_back(absl::StrCat("Batch per device: ", train->batch() / count));
    }
    lines.push_back(count > 1 ? absl::StrCat("Method: DDP (", gpus ? "NCCL" : "gloo", ")") : std::string("Method: single device"));
  }
  return lines;
}

}  // namespace yoke::jobs
