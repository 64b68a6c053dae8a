#include "server/engine/train/train_step.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/data/random.h"
#include "server/engine/eval/batch_tensors.h"
#include "server/engine/train/memory_gauge.h"
#include "server/engine/train/out_of_memory.h"

namespace yoke::engine {
namespace {

constexpr double kGradientNormMax = 10;
constexpr size_t kDrainEveryOnDevices = 20;
constexpr int kStride = 32;
// Random draws of a batch's size: of a place that no image has.
constexpr uint64_t kSizeDraw = uint64_t{1} << 62;

// The side that multi_scale gives a batch: the same on all ranks.
int64_t DrawnSide(const TrainConfig& config, int epoch, int64_t position) {
  Random random(config.seed, static_cast<uint64_t>(epoch),
                kSizeDraw + static_cast<uint64_t>(position));
  const auto low = static_cast<int64_t>(config.imgsz * (1 - config.multi_scale));
  const auto high = static_cast<int64_t>(config.imgsz * (1 + config.multi_scale) + kStride);
  const int64_t drawn = low + random.Below(std::max<int64_t>(high - low, 1));
  return std::max<int64_t>(drawn / kStride, 1) * kStride;
}

at::Tensor Resized(const at::Tensor& images_BCHW, int64_t side) {
  const int64_t h = images_BCHW.size(2), w = images_BCHW.size(3);
  if (side == std::max(h, w)) return images_BCHW;
  const double factor = static_cast<double>(side) / static_cast<double>(std::max(h, w));
  const auto scaled = [&](int64_t length) {
    return static_cast<int64_t>(std::ceil(static_cast<double>(length) * factor / kStride)) *
           kStride;
  };
  return at::upsample_bilinear2d(images_BCHW, {scaled(h), scaled(w)}, /*align_corners=*/false);
}

Wishes FromNumbers(const std::vector<int64_t>& numbers) {
  return {numbers[0] != 0, numbers[1] != 0, numbers[2] != 0};
}

}  // namespace

TrainStep::TrainStep(TrainingSetup& setup, at::Device device, Group& group, Observer& observer,
                     StageClock& clock, StepFaults* faults)
    : s_(setup),
      device_(device),
      group_(group),
      observer_(observer),
      clock_(clock),
      faults_(faults),
      drain_every_(device.is_cpu() ? 1 : kDrainEveryOnDevices),
      accumulated_(setup.progress.iteration - setup.progress.last_step > 1),
      window_buffers_(setup.flat->buffers().clone()) {
  if (setup.make_graph == nullptr) return;
  graphed_ = std::make_unique<GraphedPass>(
      setup.make_graph, [this](const at::Tensor& images_BCHW, const Targets& targets) {
        return PassPart(images_BCHW, targets, /*exchanges=*/false);
      });
}

TrainStep::Inputs TrainStep::Prepare(int epoch, int64_t position, const Batch& batch) {
  Inputs inputs{ImagesOf(batch, device_), TargetsOf(batch, device_)};
  if (s_.config.multi_scale > 0) {
    inputs.images_BCHW = Resized(inputs.images_BCHW, DrawnSide(s_.config, epoch, position));
  }
  clock_.Lap(Stage::kCopy);
  return inputs;
}

at::Tensor TrainStep::PassPart(const at::Tensor& images_BCHW, const Targets& targets,
                               bool exchanges) {
  HeadMaps maps;
  {
    const Autocast autocast(device_, s_.precision);
    maps = s_.model->Forward(images_BCHW);
  }
  clock_.Lap(Stage::kForward);
  const LossOutput loss = s_.loss->Compute(maps, targets);
  clock_.Lap(Stage::kLoss);
  if (exchanges) s_.exchange->Arm();
  s_.scaler->Scaled(loss.total).backward();
  return loss.items_3;
}

at::Tensor TrainStep::Graphed(const at::Tensor& images_BCHW, const Targets& targets) {
  const at::Tensor items = graphed_->Run(images_BCHW, targets);
  if (!graphed_->failure().empty()) {
    observer_.OnWarning(absl::StrCat(
        "cuda_graphs: the step cannot be recorded, so it is launched kernel by kernel: ",
        graphed_->failure()));
    graphed_.reset();
  }
  return items;
}

// A batch that does not fit is taken in parts of nearly equal size; the gradient is then that of
// smaller batches, accumulated.
at::Tensor TrainStep::Pass(const Inputs& inputs, int64_t iteration, bool exchanges) {
  const int64_t images = inputs.images_BCHW.size(0);
  const int64_t parts = std::min<int64_t>(s_.progress.parts, images);
  at::Tensor items;
  for (int64_t part = 0; part < parts; ++part) {
    if (faults_ != nullptr) {
      faults_->BeforeForward(iteration, static_cast<int>(part), static_cast<int>(parts),
                             s_.flat->gradients());
    }
    const int64_t first = images * part / parts, count = images * (part + 1) / parts - first;
    const Targets targets = {inputs.targets.class_BM.narrow(0, first, count),
                             inputs.targets.boxes_xywh_BM4.narrow(0, first, count)};
    const at::Tensor part_BCHW = inputs.images_BCHW.narrow(0, first, count);
    const at::Tensor mean = graphed_ != nullptr && parts == 1
                                ? Graphed(part_BCHW, targets)
                                : PassPart(part_BCHW, targets, exchanges && part + 1 == parts);
    const at::Tensor share = mean * (static_cast<double>(count) / static_cast<double>(images));
    items = items.defined() ? items + share : share;
    clock_.Lap(Stage::kBackward);
  }
  if (faults_ != nullptr) faults_->AfterBackward(iteration, s_.flat->gradients());
  return items;
}

void TrainStep::KeepPlace() {
  const at::NoGradGuard no_gradients;
  kept_buffers_ = s_.flat->buffers().clone();
  if (!accumulated_) {
    window_buffers_ = kept_buffers_;
    kept_gradients_.reset();
  } else if (kept_gradients_.defined()) {
    kept_gradients_.copy_(s_.flat->gradients());
  } else {
    kept_gradients_ = s_.flat->gradients().clone();
  }
}

void TrainStep::GoBack() {
  const at::NoGradGuard no_gradients;
  s_.flat->buffers().copy_(kept_buffers_);
  if (accumulated_) {
    s_.flat->gradients().copy_(kept_gradients_);
  } else {
    s_.flat->ZeroGradients();
  }
}

absl::StatusOr<Wishes> TrainStep::Run(int epoch, int64_t position, const Batch& batch,
                                      const Wishes& mine) {
  Progress& progress = s_.progress;
  const int64_t iteration = progress.iteration;
  const IterationRates rates = s_.schedule->At(epoch, iteration);
  const bool steps = iteration - progress.last_step >= rates.accumulate;
  const bool exchanges = steps && group_.world_size() > 1;
  const bool agrees = steps || device_.is_cpu();
  if (faults_ != nullptr) faults_->BeforeIteration(iteration, batch);
  KeepPlace();

  Wishes all;
  Pending pending;
  for (bool done = false; !done;) {
    bool failed = false;
    std::string why;
    try {
      pending.items_3 = Pass(Prepare(epoch, position, batch), iteration, exchanges);
    } catch (const std::exception& error) {
      if (!IsOutOfMemory(error)) throw;
      failed = true;
    }
    if (failed) DropCachedMemory(device_);  // pieces of the wrong size
    if (exchanges) {
      YOKE_RETURN_IF_ERROR(s_.exchange->Finish());
      clock_.Lap(Stage::kReduce);
    }
    int64_t parts = progress.parts;
    if (agrees) {
      YOKE_ASSIGN_OR_RETURN(
          const std::vector<int64_t> numbers,
          group_.Max({mine.stop, mine.save, mine.time_up, failed, progress.parts}));
      all = FromNumbers(numbers);
      failed = numbers[3] != 0;
      parts = numbers[4];
      clock_.Lap(Stage::kReduce);
    }
    done = !failed;
    if (done) break;
    GoBack();
    if (parts >= batch.count) {
      return absl::ResourceExhaustedError(
          absl::StrCat("out of memory with one image of ", batch.width,
                       " px at a time; use a smaller imgsz or model"));
    }
    progress.parts = static_cast<int>(std::min<int64_t>(2 * parts, batch.count));
    observer_.OnWarning(absl::StrCat("out of memory at iteration ", position + 1, " of epoch ",
                                     epoch + 1, ": each device's batch of ", batch.count,
                                     " is computed in ", progress.parts,
                                     " parts from now on; the effective batch stays"));
  }
  pending.iteration.epoch = epoch;
  pending.iteration.position = position;
  for (const BatchImage& image : batch.images) pending.iteration.samples.push_back(image.sample);
  accumulated_ = !steps;
  if (steps) {
    Step(rates, pending);
    progress.last_step = iteration;
  }
  pending_.push_back(std::move(pending));
  ++progress.iteration;
  return all;
}

void TrainStep::Step(const IterationRates& rates, Pending& pending) {
  const at::NoGradGuard no_gradients;
  const StepScale scale = s_.scaler->Examine(s_.flat->gradients(), kGradientNormMax);
  s_.optimizer->Step(rates, scale);
  s_.scaler->Update(scale.found_inf);
  // What such a pass left in the running statistics must not reach the average.
  at::Tensor buffers = s_.flat->buffers();
  buffers.copy_(at::where(scale.found_inf != 0, window_buffers_, buffers));
  s_.flat->ZeroGradients();
  s_.ema->Update();
  pending.found_inf = scale.found_inf;
  pending.iteration.stepped = true;
  clock_.Lap(Stage::kStep);
}

std::vector<FinishedIteration> TrainStep::Drain() {
  std::vector<FinishedIteration> finished;
  if (pending_.empty()) return finished;
  std::vector<at::Tensor> rows;
  for (const Pending& one : pending_) {
    const at::Tensor flag =
        one.found_inf.defined() ? one.found_inf : at::zeros_like(one.items_3[0]);
    rows.push_back(at::cat({one.items_3, flag.reshape({1})}));
  }
  const at::Tensor table = at::stack(rows).to(at::kCPU);
  for (size_t i = 0; i < pending_.size(); ++i) {
    FinishedIteration iteration = std::move(pending_[i].iteration);
    const auto* row = table.data_ptr<float>() + 4 * i;
    iteration.box = row[0];
    iteration.cls = row[1];
    iteration.dfl = row[2];
    iteration.finite = row[3] == 0 && std::isfinite(row[0] + row[1] + row[2]);
    finished.push_back(std::move(iteration));
  }
  pending_.clear();
  return finished;
}

void TrainStep::Forget() {
  s_.flat->ZeroGradients();
  accumulated_ = false;
}

}  // namespace yoke::engine
