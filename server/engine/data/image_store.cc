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
  while (std::fgets(line, sizeof line, file) != nullptr &&
         std::sscanf(line, "MemAvailable: %lld", &kib) != 1) {
  }
  std::fclose(file);
  return int64_t{kib} * 1024;
}

}  // namespace

ImageStore::ImageStore(const Split& split, int imgsz, bool keep, int64_t recent)
    : split_(split),
      imgsz_(imgsz),
      recent_(keep ? 0 : static_cast<size_t>(recent)),
      bytes_left_(keep         ? FreeMemoryBytes() / 2
                  : recent > 0 ? FreeMemoryBytes() / 16
                               : 0),
      kept_(keep || recent > 0 ? split.samples.size() : 0) {}

absl::StatusOr<StoredImage> ImageStore::Get(int64_t sample) {
  const auto index = static_cast<size_t>(sample);
  {
    MutexLock lock(mutex_);
    if (index < kept_.size() && !kept_[index].bgr.empty()) return kept_[index];
  }
  YOKE_ASSIGN_OR_RETURN(const cv::Mat decoded, ReadImage(split_.samples[index].image_path));
  StoredImage image{.bgr = ResizeLongSide(decoded, imgsz_),
                    .original = {decoded.cols, decoded.rows}};
  MutexLock lock(mutex_);
  if (index < kept_.size() && kept_[index].bgr.empty()) Keep(index, image);
  return image;
}

void ImageStore::Keep(size_t index, const StoredImage& image) {
  const auto bytes_of = [](const StoredImage& held) {
    return static_cast<int64_t>(held.bgr.total() * held.bgr.elemSize());
  };
  while (!kept_in_turn_.empty() &&
         (kept_in_turn_.size() >= recent_ || bytes_left_ < bytes_of(image))) {
    StoredImage& oldest = kept_[kept_in_turn_.front()];
    bytes_left_ += bytes_of(oldest);
    oldest = {};
    kept_in_turn_.pop_front();
  }
  if (bytes_left_ < bytes_of(image)) return;
  bytes_left_ -= bytes_of(image);
  kept_[index] = image;
  if (recent_ > 0) kept_in_turn_.push_back(index);
}

}  // namespace yoke::engine
