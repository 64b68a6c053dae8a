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

class ImageArena;

struct BatchImage {
  int64_t sample = 0;             // index into Split::samples
  ImageSize original;             // px before any resize
  double gain_x = 1, gain_y = 1;  // network input px = original px * gain + pad (validation only)
  int pad_left = 0, pad_top = 0;
};

struct BatchLabel {
  int64_t image = 0;  // index in the batch
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
  int batch = 16;  // images per batch of this rank
  int imgsz = 640;
  int threads = 2;
  int rank = 0, world_size = 1;
  uint64_t seed = 0;
  std::shared_ptr<ImageArena> cache;   // of the split's images; null: none
  std::shared_ptr<JpegDecoder> jpegs;  // see DecodeImage; null: the host decodes all
  int ring = 4;                       // batches kept ready
  bool rect = false;  // training: batches of similar aspect ratio, see MakeTrainLoader
};

// CPU seconds that the loader's threads have spent since it was made. What an image cache saves
// shows here; waiting for a disk does not.
struct LoaderTimes {
  double decode_seconds = 0;   // reading, decoding and the first resize
  double augment_seconds = 0;  // all else
};

class Loader {
 public:
  virtual ~Loader() = default;
  // Begins epoch `epoch` (0-based): its permutation and random draws depend on (seed, epoch,
  // position) only, never on timing or on the number of threads or ranks. first_position: images
  // over all ranks that the epoch has used already, a multiple of the global batch. The batches are
  // those that would have come next, also if another number of ranks shares the same global batch.
  // Validation is always whole: 0.
  virtual void StartEpoch(int epoch, int64_t first_position = 0) = 0;
  // Another close_mosaic_from than MakeTrainLoader was given, from the next StartEpoch on.
  virtual void CloseMosaicFrom(int epoch) = 0;
  // The next batch, or nullptr at the end of the epoch. An unreadable image is an error naming it.
  virtual absl::StatusOr<std::unique_ptr<Batch>> Next() = 0;
  // Hands a batch's memory back for reuse.
  virtual void Recycle(std::unique_ptr<Batch> batch) = 0;
  virtual int64_t batches_per_epoch() const = 0;  // of a whole epoch
  virtual int64_t images_per_epoch() const = 0;  // of this rank and a whole epoch, padding included
  virtual LoaderTimes times() const = 0;         // may be called at any time
};

// Augmented as `augment` says. Every rank gets equally many images (the sampler pads by repeating).
// close_mosaic_from: the first 0-based epoch without mosaic, mixup, cutmix and copy_paste; -1:
// never closed. options.rect: images sorted by aspect ratio, each global batch in the smallest
// multiple-of-32 shape that holds it, in the same order in every epoch (shuffled where one shape
// holds all), without mosaic, mixup and cutmix.
std::unique_ptr<Loader> MakeTrainLoader(const Split& split, const AugmentConfig& augment,
                                        const LoaderOptions& options, int close_mosaic_from);

// No augmentation; each image exactly once over all ranks, in contiguous batch-aligned shards.
// rect: batches of similar aspect ratio with the smallest multiple-of-32 shape (reference rule, pad
// 0.5).
std::unique_ptr<Loader> MakeValLoader(const Split& split, const LoaderOptions& options, bool rect);

}  // namespace yoke::engine
