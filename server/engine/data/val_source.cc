// MakeValLoader: images as they are, letterboxed, in batches of one shape each.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/base/status_macros.h"
#include "opencv2/imgproc.hpp"
#include "server/engine/data/batch_pipeline.h"
#include "server/engine/data/image_store.h"
#include "server/engine/data/loader.h"
#include "server/engine/data/planes.h"
#include "server/engine/data/rect_shape.h"

namespace yoke::engine {
namespace {

constexpr double kRectPad = 0.5;

// All batches of the split over all ranks, in order.
std::vector<BatchPlan> AllBatches(const Split& split, const LoaderOptions& options, bool rect) {
  const size_t count = split.samples.size();
  const size_t batch = static_cast<size_t>(std::max(options.batch, 1));
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  const auto aspect = [&](int64_t sample) {
    return AspectOf(split.samples[static_cast<size_t>(sample)]);
  };
  if (rect) {
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return aspect(a) < aspect(b); });
  }
  std::vector<BatchPlan> plans;
  for (size_t first = 0; first < count; first += batch) {
    const size_t last = std::min(first + batch, count) - 1;
    BatchPlan plan{.size = {options.imgsz, options.imgsz}};
    if (rect)
      plan.size = RectShape(aspect(order[first]), aspect(order[last]), options.imgsz, kRectPad);
    for (size_t i = first; i <= last; ++i)
      plan.images.push_back({.sample = order[i], .position = static_cast<int64_t>(i)});
    plans.push_back(std::move(plan));
  }
  return plans;
}

class ValSource : public BatchSource {
 public:
  ValSource(const Split& split, const LoaderOptions& options, bool rect)
      : split_(split), images_(split_, options.imgsz, options.cache, /*recent=*/0, options.jpegs) {
    std::vector<BatchPlan> all = AllBatches(split_, options, rect);
    // Contiguous shards of whole batches; the first ranks take one more where it does not divide.
    const size_t world = static_cast<size_t>(options.world_size),
                 rank = static_cast<size_t>(options.rank);
    const size_t base = all.size() / world, extra = all.size() % world;
    const size_t begin = rank * base + std::min(rank, extra);
    const size_t end = begin + base + (rank < extra ? 1 : 0);
    plan_.assign(std::make_move_iterator(all.begin() + static_cast<ptrdiff_t>(begin)),
                 std::make_move_iterator(all.begin() + static_cast<ptrdiff_t>(end)));
    for (const BatchPlan& plan : plan_) image_count_ += static_cast<int64_t>(plan.images.size());
  }

  int64_t batches_per_epoch() const override { return static_cast<int64_t>(plan_.size()); }
  int64_t images_per_epoch() const override { return image_count_; }
  std::vector<BatchPlan> Plan(int, int64_t) const override { return plan_; }

  absl::Status Make(const BatchPlan& plan, const PlannedImage& planned, uint8_t* pixels,
                    BatchImage& image, std::vector<BatchLabel>& labels) override {
    YOKE_ASSIGN_OR_RETURN(const StoredImage stored, Decode(planned.sample));
    Letterbox letterbox;
    cv::Mat padded = ApplyLetterbox(stored.bgr, plan.size.width, plan.size.height,
                                    /*scale_up=*/false, &letterbox);
    cv::cvtColor(padded, padded, cv::COLOR_BGR2RGB);
    SplitPlanes(padded, pixels);
    // The long side already is the network's, so this letterbox only pads (its gain is 1).
    const double width = std::nearbyint(stored.bgr.cols * letterbox.gain);
    const double height = std::nearbyint(stored.bgr.rows * letterbox.gain);
    image = {.sample = planned.sample,
             .original = stored.original,
             .gain_x = width / stored.original.width,
             .gain_y = height / stored.original.height,
             .pad_left = letterbox.left,
             .pad_top = letterbox.top};
    for (const Label& label : split_.samples[static_cast<size_t>(planned.sample)].labels) {
      labels.push_back(
          {.class_id = label.class_id,
           .x = static_cast<float>((label.x * width + letterbox.left) / plan.size.width),
           .y = static_cast<float>((label.y * height + letterbox.top) / plan.size.height),
           .w = static_cast<float>(label.w * width / plan.size.width),
           .h = static_cast<float>(label.h * height / plan.size.height)});
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<StoredImage> Decode(int64_t sample) {
    const CpuClock::Running running(decode_clock_);
    return images_.Get(sample);
  }

  const Split split_;
  ImageStore images_;
  std::vector<BatchPlan> plan_;
  int64_t image_count_ = 0;
};

}  // namespace

std::unique_ptr<Loader> MakeValLoader(const Split& split, const LoaderOptions& options, bool rect) {
  return std::make_unique<BatchPipeline>(std::make_unique<ValSource>(split, options, rect),
                                         options.threads, options.ring);
}

}  // namespace yoke::engine
