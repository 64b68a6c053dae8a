#include "server/engine/data/image_store.h"

#include <utility>

#include "common/base/status_macros.h"
#include "server/engine/data/host_memory.h"

namespace yoke::engine {

ImageStore::ImageStore(const Split& split, int imgsz, std::shared_ptr<ImageArena> cache,
                       int64_t recent, std::shared_ptr<JpegDecoder> jpegs)
    : split_(split),
      imgsz_(imgsz),
      cache_(std::move(cache)),
      jpegs_(std::move(jpegs)),
      recent_(static_cast<size_t>(recent)),
      bytes_left_(recent > 0 ? FreeHostMemory() / 16 : 0),
      kept_(recent > 0 ? split.samples.size() : 0) {}

absl::StatusOr<StoredImage> ImageStore::Get(int64_t sample) {
  const auto index = static_cast<size_t>(sample);
  if (cache_ != nullptr) {
    if (std::optional<StoredImage> found = cache_->Find(sample)) return *std::move(found);
  }
  {
    MutexLock lock(mutex_);
    if (index < kept_.size() && !kept_[index].bgr.empty()) return kept_[index];
  }
  YOKE_ASSIGN_OR_RETURN(const cv::Mat decoded,
                        ReadImage(split_.samples[index].image_path, jpegs_.get()));
  StoredImage image{.bgr = ResizeLongSide(decoded, imgsz_),
                    .original = {decoded.cols, decoded.rows}};
  if (cache_ != nullptr) cache_->Store(sample, image);
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
  kept_in_turn_.push_back(index);
}

}  // namespace yoke::engine
