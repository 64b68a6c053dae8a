// MakeTrainLoader: the order of the recipe's steps on one training image.
#include <algorithm>
#include <numeric>

#include "common/base/status_macros.h"
#include "opencv2/imgproc.hpp"
#include "server/engine/data/augment/affine.h"
#include "server/engine/data/augment/colour.h"
#include "server/engine/data/augment/mix.h"
#include "server/engine/data/augment/scene.h"
#include "server/engine/data/augment/warp.h"
#include "server/engine/data/batch_pipeline.h"
#include "server/engine/data/image_store.h"
#include "server/engine/data/loader.h"
#include "server/engine/data/random.h"
#include "server/engine/data/rect_shape.h"

namespace yoke::engine {
namespace {

AugmentConfig Closed(AugmentConfig augment) {
  augment.mosaic = augment.mixup = augment.cutmix = augment.copy_paste = 0;
  return augment;
}

AugmentConfig Opened(AugmentConfig augment, bool rect) {
  if (rect) augment.mosaic = augment.mixup = augment.cutmix = 0;
  return augment;
}

bool HasOutlines(const Split& split) {
  return std::any_of(split.samples.begin(), split.samples.end(),
                     [](const Sample& sample) { return !sample.polygon_ends.empty(); });
}

void AppendLabels(const std::vector<PixelBox>& boxes, const Finish& finish, cv::Size size,
                  std::vector<BatchLabel>& labels) {
  const auto width = static_cast<float>(size.width), height = static_cast<float>(size.height);
  for (const PixelBox& box : boxes) {
    BatchLabel label{.class_id = box.class_id,
                     .x = (box.x1 + box.x2) / 2 / width,
                     .y = (box.y1 + box.y2) / 2 / height,
                     .w = (box.x2 - box.x1) / width,
                     .h = (box.y2 - box.y1) / height};
    if (finish.left_right) label.x = 1 - label.x;
    if (finish.up_down) label.y = 1 - label.y;
    labels.push_back(label);
  }
}

class TrainSource : public BatchSource {
 public:
  TrainSource(const Split& split, const AugmentConfig& augment, const LoaderOptions& options,
              int close_mosaic_from)
      : split_(split),
        opened_(Opened(augment, options.rect)),
        closed_(Closed(augment)),
        options_(options),
        close_mosaic_from_(close_mosaic_from),
        outlined_(HasOutlines(split)),
        rule_(augment.polygon_clip ? OutlineRule::kCutAtEdge : OutlineRule::kPointsInside),
        per_rank_((sample_count() + options.world_size - 1) / options.world_size),
        batch_(std::clamp<int64_t>(options.batch, 1, std::max<int64_t>(per_rank_, 1))),
        window_(RecentWindow(sample_count(), batch_ * options.world_size)),
        images_(split_, options.imgsz, options.cache,
                opened_.mosaic > 0 && opened_.mosaic_recent ? window_ + 2 * options.threads : 0,
                options.jpegs) {
    if (options.rect) SortByAspect();
  }

  int64_t images_per_epoch() const override { return per_rank_; }
  int64_t batches_per_epoch() const override { return (per_rank_ + batch_ - 1) / batch_; }

  // Every rank orders alike and takes each world_size-th position, so that iteration k of all ranks
  // together holds the same images whatever the number of ranks. Positions past the end repeat the
  // first images.
  std::vector<BatchPlan> Plan(int epoch, int64_t first_position) const override {
    const std::shared_ptr<const EpochOrder> order =
        fixed_order_ != nullptr
            ? fixed_order_
            : std::make_shared<EpochOrder>(sample_count(), options_.seed, epoch);
    const int64_t left = std::max<int64_t>(sample_count() - first_position, 0);
    const int64_t own = (left + options_.world_size - 1) / options_.world_size;
    std::vector<BatchPlan> plans;
    for (int64_t i = 0; i < own; ++i) {
      const int64_t position = first_position + options_.rank + i * options_.world_size;
      if (i % batch_ == 0) {
        plans.push_back({.epoch = epoch,
                         .mosaic_closed = close_mosaic_from_ >= 0 && epoch >= close_mosaic_from_,
                         .size = ShapeFrom(*order, position - options_.rank),
                         .order = order});
      }
      plans.back().images.push_back({.sample = order->At(position), .position = position});
    }
    return plans;
  }

  void CloseMosaicFrom(int epoch) override { close_mosaic_from_ = epoch; }

  absl::Status Make(const BatchPlan& plan, const PlannedImage& planned, uint8_t* pixels,
                    BatchImage& image, std::vector<BatchLabel>& labels) override {
    thread_local LabelledImage main, partner;  // several MB, kept for the next image
    Pass pass{.augment = plan.mosaic_closed ? closed_ : opened_,
              .plan = plan,
              .position = planned.position,
              .random = Random(options_.seed, static_cast<uint64_t>(plan.epoch),
                               static_cast<uint64_t>(planned.position))};
    YOKE_RETURN_IF_ERROR(MakePasted(planned.sample, pass, main));
    if (pass.random.Chance(pass.augment.mixup)) {
      YOKE_RETURN_IF_ERROR(MakePasted(pass.random.Below(sample_count()), pass, partner));
      MixUp(main, partner, pass.random.Beta(32));
    }
    if (pass.random.Chance(pass.augment.cutmix)) {
      const bool outlined = outlined_ && !main.boxes.empty();
      YOKE_RETURN_IF_ERROR(MakePasted(pass.random.Below(sample_count()), pass, partner));
      CutMix(main, partner, outlined ? 0.01 : 0.1, pass.random);
    }
    Finish finish{.hsv = DrawHsv(pass.augment, pass.random)};
    finish.up_down = pass.random.Chance(pass.augment.flipud);
    finish.left_right = pass.random.Chance(pass.augment.fliplr);
    finish.bgr = pass.random.Chance(pass.augment.bgr);
    FinishPixels(main.pixels, finish, pixels);
    AppendLabels(main.boxes, finish, plan.size, labels);
    const Sample& sample = split_.samples[static_cast<size_t>(planned.sample)];
    image.sample = planned.sample;
    image.original = {sample.width, sample.height};
    return absl::OkStatus();
  }

 private:
  // What the steps on one image share.
  struct Pass {
    const AugmentConfig& augment;
    const BatchPlan& plan;
    int64_t position;
    Random random;
  };

  int64_t sample_count() const { return static_cast<int64_t>(split_.samples.size()); }

  void SortByAspect() {
    std::vector<int64_t> order(split_.samples.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return Aspect(a) < Aspect(b); });
    fixed_order_ = std::make_shared<EpochOrder>(std::move(order));
    const cv::Size first = ShapeFrom(*fixed_order_, 0);
    for (int64_t at = 0; at < sample_count(); at += batch_ * options_.world_size) {
      if (ShapeFrom(*fixed_order_, at) != first) return;
    }
    one_shape_ = first;
    fixed_order_ = nullptr;
  }

  double Aspect(int64_t sample) const {
    return AspectOf(split_.samples[static_cast<size_t>(sample)]);
  }

  // Of the global batch whose first image stands at `position`.
  cv::Size ShapeFrom(const EpochOrder& order, int64_t position) const {
    if (!options_.rect) return {options_.imgsz, options_.imgsz};
    if (one_shape_.area() > 0) return one_shape_;
    double low = INFINITY, high = 0;
    for (int64_t i = 0;
         i < batch_ * options_.world_size && position + i < per_rank_ * options_.world_size; ++i) {
      const double aspect = Aspect(order.At(position + i));
      low = std::min(low, aspect), high = std::max(high, aspect);
    }
    return RectShape(low, high, options_.imgsz, /*pad=*/0);
  }

  TileSource TileOf(int64_t index) const {
    const Sample& sample = split_.samples[static_cast<size_t>(index)];
    const ImageSize size = ResizedSize({sample.width, sample.height}, options_.imgsz);
    return {.sample = index, .size = {size.width, size.height}, .labels = &sample};
  }

  // Loads the scene's images that show in `window`.
  absl::Status Load(const cv::Rect& window, Scene& scene) {
    for (PlacedImage& image : scene.images) {
      if (!image.bgr.empty() || (image.place & window).empty()) continue;
      const CpuClock::Running running(decode_clock_);
      YOKE_ASSIGN_OR_RETURN(const StoredImage stored, images_.Get(image.sample));
      image.bgr = stored.bgr;
      // A file that was replaced since it was scanned.
      if (image.bgr.size() != image.place.size())
        cv::resize(stored.bgr, image.bgr, image.place.size());
    }
    return absl::OkStatus();
  }

  // The image within a mosaic or alone, warped onto the batch's shape.
  absl::Status MakeWarped(int64_t sample, Pass& pass, LabelledImage& out) {
    const AugmentConfig& augment = pass.augment;
    std::vector<TileSource> tiles{TileOf(sample)};
    const bool mosaic = pass.random.Chance(augment.mosaic);
    while (mosaic && static_cast<int>(tiles.size()) < augment.mosaic_tiles) {
      tiles.push_back(TileOf(augment.mosaic_recent
                                 ? pass.plan.order->DrawRecent(pass.position, window_, pass.random)
                                 : pass.random.Below(sample_count())));
    }
    Scene scene = mosaic ? Mosaic(tiles, options_.imgsz, pass.random) : Single(tiles[0]);
    if (augment.copy_paste > 0 && augment.copy_paste_mode == "flip" &&
        !scene.labels.outlines.empty()) {
      const cv::Rect all({0, 0}, scene.size);
      YOKE_RETURN_IF_ERROR(Load(all, scene));
      Draw(scene, all, scene.labels.pixels);
      PasteMirrored(augment.copy_paste, rule_, pass.random, scene.labels);
      scene.images = {{.place = all, .bgr = scene.labels.pixels}};
    }
    if (!mosaic && augment.label_half_pixel) CentreOn(pass.plan.size, scene);
    const Affine affine = DrawAffine(augment, scene.size, pass.plan.size, pass.random);
    YOKE_RETURN_IF_ERROR(Load(VisiblePart(scene.size, affine, pass.plan.size), scene));
    Warp(scene, affine, pass.plan.size, out.pixels);
    WarpLabels(scene.labels, affine, rule_, pass.plan.size, out);
    return absl::OkStatus();
  }

  // The same, with objects of another such image if copy_paste says so.
  absl::Status MakePasted(int64_t sample, Pass& pass, LabelledImage& out) {
    thread_local LabelledImage other;
    const AugmentConfig& augment = pass.augment;
    YOKE_RETURN_IF_ERROR(MakeWarped(sample, pass, out));
    if (augment.copy_paste_mode != "mixup" || out.outlines.empty()) return absl::OkStatus();
    if (!pass.random.Chance(augment.copy_paste)) return absl::OkStatus();
    YOKE_RETURN_IF_ERROR(MakeWarped(pass.random.Below(sample_count()), pass, other));
    PasteObjects(other, augment.copy_paste, rule_, out);
    return absl::OkStatus();
  }

  const Split split_;
  const AugmentConfig opened_, closed_;  // before and after the mosaic is closed
  const LoaderOptions options_;
  int close_mosaic_from_;  // read by Plan only
  const bool outlined_;
  const OutlineRule rule_;
  const int64_t per_rank_;
  const int64_t batch_;
  const int64_t window_;
  ImageStore images_;
  std::shared_ptr<const EpochOrder> fixed_order_;  // null: shuffled
  cv::Size one_shape_;  // of all batches of rect; empty: each has its own
};

}  // namespace

std::unique_ptr<Loader> MakeTrainLoader(const Split& split, const AugmentConfig& augment,
                                        const LoaderOptions& options, int close_mosaic_from) {
  return std::make_unique<BatchPipeline>(
      std::make_unique<TrainSource>(split, augment, options, close_mosaic_from), options.threads,
      options.ring);
}

}  // namespace yoke::engine
