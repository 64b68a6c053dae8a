// The images of a split, decoded and resized to the network's long side, kept in memory: all of
// them if asked and room, or those used last.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

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
  // recent: else hold as many that were decoded last, in at most a sixteenth of the free memory.
  ImageStore(const Split& split, int imgsz, bool keep, int64_t recent = 0);

  // Errors as ReadImage.
  absl::StatusOr<StoredImage> Get(int64_t sample);

 private:
  void Keep(size_t index, const StoredImage& image) YOKE_REQUIRES(mutex_);

  const Split& split_;
  const int imgsz_;
  const size_t recent_;
  Mutex mutex_;
  int64_t bytes_left_ YOKE_GUARDED_BY(mutex_);
  std::vector<StoredImage> kept_ YOKE_GUARDED_BY(mutex_);    // empty: keeps none
  std::deque<size_t> kept_in_turn_ YOKE_GUARDED_BY(mutex_);  // only of those used last
};

}  // namespace yoke::engine
