// Batches for training and validation, made by threads into a bounded ring.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/config.h"
#include "server/engine/data/dataset.h"
#include "server/engine/data/image.h"

namespace yoke::engine {

struct BatchImage {
  int64_t sample = 0;            // index into Split::samples
  ImageSize original;            // px before any resize
  double gain_x = 1, gain_y = 1; // network input px = original px * gain + pad (validation only)
  int pad_left = 0, pad_top = 0;
};

struct BatchLabel {
  int64_t image = 0;             // index in the batch
  int64_t class_id = 0;
  float x = 0, y = 0, w = 0, h = 0;  // norm, fractions of the batch's width and height
};

// RGB, uint8, (count, 3, height, width), contiguous.
struct Batch {
  std::vector<uint8_t> pixels;
  int count = 0, height = 0, width = 0;
  std::vector<BatchImage> images;
  std::vector<BatchLabel> labels;  // ascending in `image`
};

struct LoaderOptions {
  int batch = 16;              // images per batch of this rank
  int imgsz = 640;
  int threads = 2;
  int rank = 0, world_size = 1;
  uint64_t seed = 0;
  bool cache_ram = false;
  int ring = 4;                // batches kept ready
};

class Loader {
 public:
  virtual ~Loader() = default;
  // Begins epoch `epoch` (0-based): its permutation and random draws depend on (seed, epoch, index) only,
  // never on timing or on the number of threads.
  virtual void StartEpoch(int epoch, int64_t first_position = 0) = 0;
  // The next batch, or nullptr at the end of the epoch. An unreadable image is an error naming it.
  virtual absl::StatusOr<std::unique_ptr<Batch>> Next() = 0;
  // Hands a batch's memory back for reuse.
  virtual void Recycle(std::unique_ptr<Batch> batch) = 0;
  virtual int64_t batches_per_epoch() const = 0;
  virtual int64_t images_per_epoch() const = 0;  // of this rank, padding included
};

// Mosaic, affine, mixup, HSV, flips as `augment` says. Every rank gets equally many images (the sampler pads by
// repeating). `close_mosaic_from`: the first 0-based epoch without mosaic and mixup; -1: never closed.
std::unique_ptr<Loader> MakeTrainLoader(const Split& split, const AugmentConfig& augment,
                                        const LoaderOptions& options, int close_mosaic_from);

// No augmentation; each image exactly once over all ranks, in contiguous batch-aligned shards.
// rect: batches of similar aspect ratio with the smallest multiple-of-32 shape (reference rule, pad 0.5).
std::unique_ptr<Loader> MakeValLoader(const Split& split, const LoaderOptions& options, bool rect);

}  // namespace yoke::engine
