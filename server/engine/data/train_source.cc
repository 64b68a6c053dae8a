// MakeTrainLoader: the order of the recipe's steps on one training image.
#include <algorithm>
#include <numeric>

#include "common/base/status_macros.h"
#include "server/engine/data/augment.h"
#include "server/engine/data/batch_pipeline.h"
#include "server/engine/data/image_store.h"
#include "server/engine/data/loader.h"
#include "server/engine/data/planes.h"
#include "server/engine/data/random.h"

namespace yoke::engine {
namespace {

// Draws that belong to an epoch, not to a position in it.
constexpr uint64_t kPermutation = ~uint64_t{0};

PixelBox ToPixels(const Label& label, const cv::Size& size) {
  const auto width = static_cast<float>(size.width), height = static_cast<float>(size.height);
  return {label.class_id, (label.x - label.w / 2) * width, (label.y - label.h / 2) * height,
          (label.x + label.w / 2) * width, (label.y + label.h / 2) * height};
}

class TrainSource : public BatchSource {
 public:
  TrainSource(const Split& split, const AugmentConfig& augment, const LoaderOptions& options, int close_mosaic_from)
      : split_(split), augment_(augment), options_(options), close_mosaic_from_(close_mosaic_from),
        images_(split_, options.imgsz, options.cache_ram) {
    per_rank_ = (sample_count() + options.world_size - 1) / options.world_size;
    batch_ = std::clamp<int64_t>(options.batch, 1, std::max<int64_t>(per_rank_, 1));
  }

  int64_t images_per_epoch() const override { return per_rank_; }
  int64_t batches_per_epoch() const override { return (per_rank_ + batch_ - 1) / batch_; }

  // Every rank shuffles alike and takes each world_size-th position, so that iteration k of all ranks together
  // holds the same images whatever the number of ranks. Positions past the end repeat the first images.
  std::vector<BatchPlan> Plan(int epoch) const override {
    std::vector<int64_t> order(split_.samples.size());
    std::iota(order.begin(), order.end(), 0);
    Random random(options_.seed, static_cast<uint64_t>(epoch), kPermutation);
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[static_cast<size_t>(random.Below(static_cast<int64_t>(i)))]);
    std::vector<BatchPlan> plan(static_cast<size_t>(batches_per_epoch()));
    for (int64_t i = 0; i < per_rank_; ++i) {
      BatchPlan& batch = plan[static_cast<size_t>(i / batch_)];
      batch.epoch = epoch;
      batch.height = batch.width = options_.imgsz;
      const int64_t position = options_.rank + i * options_.world_size;
      batch.images.push_back({.sample = order[static_cast<size_t>(position % sample_count())],
                              .position = static_cast<uint64_t>(position)});
    }
    return plan;
  }

  absl::Status Make(const BatchPlan& plan, const PlannedImage& planned, uint8_t* pixels, BatchImage& image,
                    std::vector<BatchLabel>& labels) override {
    thread_local LabelledImage mosaic, partner;  // canvases of several MB, kept for the next image
    thread_local cv::Mat rgb;
    const int size = options_.imgsz;
    const bool closed = close_mosaic_from_ >= 0 && plan.epoch >= close_mosaic_from_;
    Random random(options_.seed, static_cast<uint64_t>(plan.epoch), planned.position);
    LabelledImage warped;
    YOKE_RETURN_IF_ERROR(LoadWarped(planned.sample, closed, random, mosaic, warped, &image.original));
    if (!closed && augment_.mixup > 0 && random.Chance(augment_.mixup)) {
      YOKE_RETURN_IF_ERROR(LoadWarped(random.Below(sample_count()), closed, random, mosaic, partner, nullptr));
      MixUp(warped, partner, random);
    }
    HsvToRgb(warped.bgr, augment_, random, rgb);
    RandomFlip(rgb, warped.boxes, augment_, random);
    SplitPlanes(rgb, pixels);
    image.sample = planned.sample;
    const auto side = static_cast<float>(size);
    for (const PixelBox& box : warped.boxes) {
      labels.push_back({.class_id = box.class_id,
                        .x = (box.x1 + box.x2) / 2 / side,
                        .y = (box.y1 + box.y2) / 2 / side,
                        .w = (box.x2 - box.x1) / side,
                        .h = (box.y2 - box.y1) / side});
    }
    return absl::OkStatus();
  }

 private:
  int64_t sample_count() const { return static_cast<int64_t>(split_.samples.size()); }

  absl::Status Load(int64_t sample, LabelledImage& out, ImageSize* original) {
    YOKE_ASSIGN_OR_RETURN(const StoredImage stored, images_.Get(sample));
    out.bgr = stored.bgr;
    if (original != nullptr) *original = stored.original;
    for (const Label& label : split_.samples[static_cast<size_t>(sample)].labels) {
      out.boxes.push_back(ToPixels(label, stored.bgr.size()));
    }
    return absl::OkStatus();
  }

  // The image within a mosaic, or alone on a square, after the random affine: size x size px.
  absl::Status LoadWarped(int64_t sample, bool closed, Random& random, LabelledImage& mosaic, LabelledImage& out,
                          ImageSize* original) {
    const int size = options_.imgsz;
    if (closed || !random.Chance(augment_.mosaic)) {
      LabelledImage single;
      YOKE_RETURN_IF_ERROR(Load(sample, single, original));
      Letterbox letterbox;
      single.bgr = ApplyLetterbox(single.bgr, size, size, /*scale_up=*/true, &letterbox);
      for (PixelBox& box : single.boxes) {
        box.x1 += static_cast<float>(letterbox.left), box.x2 += static_cast<float>(letterbox.left);
        box.y1 += static_cast<float>(letterbox.top), box.y2 += static_cast<float>(letterbox.top);
      }
      RandomAffine(single, augment_, size, random, out);
      return absl::OkStatus();
    }
    std::array<LabelledImage, 4> tiles;
    YOKE_RETURN_IF_ERROR(Load(sample, tiles[0], original));
    for (size_t i = 1; i < 4; ++i) YOKE_RETURN_IF_ERROR(Load(random.Below(sample_count()), tiles[i], nullptr));
    Mosaic(tiles, size, random, mosaic);
    RandomAffine(mosaic, augment_, size, random, out);
    return absl::OkStatus();
  }

  const Split split_;
  const AugmentConfig augment_;
  const LoaderOptions options_;
  const int close_mosaic_from_;
  ImageStore images_;
  int64_t per_rank_ = 0;
  int64_t batch_ = 1;
};

}  // namespace

std::unique_ptr<Loader> MakeTrainLoader(const Split& split, const AugmentConfig& augment, const LoaderOptions& options,
                                        int close_mosaic_from) {
  return std::make_unique<BatchPipeline>(
      std::make_unique<TrainSource>(split, augment, options, close_mosaic_from), options.threads, options.ring);
}

}  // namespace yoke::engine
