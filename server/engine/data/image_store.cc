#include "server/engine/data/image_store.h"

#include <cstdio>

#include "common/base/status_macros.h"

namespace yoke::engine {
namespace {

// What the kernel thinks can be had without swapping; 0 if it does not say.
int64_t FreeMemoryBytes() {
  std::FILE* file = std::fopen("/proc/meminfo", "re");
  if (file == nullptr) return 0;
  long long kib = 0;
  char line[128];
  while (std::fgets(line, sizeof line, file) != nullptr && std::sscanf(line, "MemAvailable: %lld", &kib) != 1) {
  }
  std::fclose(file);
  return int64_t{kib} * 1024;
}

}  // namespace

ImageStore::ImageStore(const Split& split, int imgsz, bool keep)
    : split_(split), imgsz_(imgsz), bytes_left_(keep ? FreeMemoryBytes() / 2 : 0), kept_(keep ? split.samples.size() : 0) {}

absl::StatusOr<StoredImage> ImageStore::Get(int64_t sample) {
  const auto index = static_cast<size_t>(sample);
  {
    MutexLock lock(mutex_);
    if (index < kept_.size() && !kept_[index].bgr.empty()) return kept_[index];
  }
  YOKE_ASSIGN_OR_RETURN(const cv::Mat decoded, ReadImage(split_.samples[index].image_path));
  StoredImage image{.bgr = ResizeLongSide(decoded, imgsz_), .original = {decoded.cols, decoded.rows}};
  const auto bytes = static_cast<int64_t>(image.bgr.total() * image.bgr.elemSize());
  if (bytes_left_.load() >= bytes) {
    MutexLock lock(mutex_);
    if (kept_[index].bgr.empty()) {
      kept_[index] = image;
      bytes_left_ -= bytes;
    }
  }
  return image;
}

}  // namespace yoke::engine
