// The images of a split, decoded and resized to the network's long side: out of a cache that
// machines share, those used last out of memory, the rest out of their files.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "server/engine/cuda/jpeg_decoder.h"
#include "server/engine/data/dataset.h"
#include "server/engine/data/image_arena.h"
#include "server/engine/data/stored_image.h"

namespace yoke::engine {

// Thread-safe. `split` must outlive it.
class ImageStore {
 public:
  // cache: may be null. recent: as many that were decoded last are held beside it, in at most a
  // sixteenth of the free memory. jpegs: see DecodeImage.
  ImageStore(const Split& split, int imgsz, std::shared_ptr<ImageArena> cache, int64_t recent = 0,
             std::shared_ptr<JpegDecoder> jpegs = nullptr);

  // Errors as ReadImage.
  absl::StatusOr<StoredImage> Get(int64_t sample);

 private:
  void Keep(size_t index, const StoredImage& image) YOKE_REQUIRES(mutex_);

  const Split& split_;
  const int imgsz_;
  const std::shared_ptr<ImageArena> cache_;
  const std::shared_ptr<JpegDecoder> jpegs_;
  const size_t recent_;
  Mutex mutex_;
  int64_t bytes_left_ YOKE_GUARDED_BY(mutex_);
  std::vector<StoredImage> kept_ YOKE_GUARDED_BY(mutex_);  // by sample; empty: keeps none
  std::deque<size_t> kept_in_turn_ YOKE_GUARDED_BY(mutex_);
};

}  // namespace yoke::engine
