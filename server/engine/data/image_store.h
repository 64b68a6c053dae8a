// The images of a split, decoded and resized to the network's long side, kept in memory if asked and room.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "opencv2/core/mat.hpp"
#include "server/engine/data/dataset.h"
#include "server/engine/data/image.h"

namespace yoke::engine {

struct StoredImage {
  cv::Mat bgr;         // never written to: shared between threads
  ImageSize original;  // px before the resize
};

// Thread-safe. `split` must outlive it.
class ImageStore {
 public:
  // keep: hold images up to half of the memory that is free now; the rest is decoded each time.
  ImageStore(const Split& split, int imgsz, bool keep);

  // Errors as ReadImage.
  absl::StatusOr<StoredImage> Get(int64_t sample);

 private:
  const Split& split_;
  const int imgsz_;
  std::atomic<int64_t> bytes_left_;
  Mutex mutex_;
  std::vector<StoredImage> kept_ YOKE_GUARDED_BY(mutex_);
};

}  // namespace yoke::engine
