#include "server/engine/label/labeler.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/cuda/open_jpeg_decoder.h"
#include "server/engine/label/agreement.h"
#include "server/engine/label/detector.h"
#include "server/engine/label/image_reader.h"
#include "server/engine/label/label_files.h"
#include "server/engine/label/plan.h"
#include "server/engine/label/shape_batches.h"

namespace yoke::engine {
namespace {

// Ranks agree at least once in so many images, also where nothing is to be done for them.
constexpr int kImagesPerRound = 512;
constexpr int kAheadMax = 256;

// One rank's part of the job.
class LabelRun {
 public:
  LabelRun(const LabelConfig& config, Group& group, Observer& observer)
      : config_(config),
        group_(group),
        observer_(observer),
        writer_(group.rank()),
        batches_(static_cast<size_t>(std::max<int64_t>(config.batch, 1))) {}

  absl::Status Prepare(at::Device device) {
    if (config_.imgsz < 32 || config_.imgsz % 32 != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("imgsz=", config_.imgsz, " is not a multiple of 32"));
    }
    std::error_code ignored;
    if (std::filesystem::exists(config_.out, ignored) &&
        !std::filesystem::is_directory(config_.out, ignored)) {
      return absl::InvalidArgumentError(
          absl::StrCat("out=", config_.out, " is a file; name a folder"));
    }
    YOKE_ASSIGN_OR_RETURN(items_, PlanLabels(config_.sources, config_.out));
    YOKE_ASSIGN_OR_RETURN(Detector detector, Detector::Load(config_, device));
    detector_ = std::make_unique<Detector>(std::move(detector));
    totals_.images = static_cast<int64_t>(items_.size());
    jpegs_ = OpenJpegDecoder(config_.nvjpeg, device, observer_);
    if (group_.rank() != 0) return absl::OkStatus();
    for (const std::string& note : detector_->notes()) observer_.OnLog(note);
    return WriteClassNames(config_.out, detector_->names(), config_.overwrite, writer_);
  }

  void StartReading() {
    ReaderOptions options;
    options.jpegs = jpegs_;
    options.imgsz = config_.imgsz;
    options.overwrite = config_.overwrite;
    options.threads = std::max(config_.workers, 1);
    options.rank = group_.rank();
    options.world_size = group_.world_size();
    options.ahead =
        static_cast<int>(std::clamp<int64_t>(2 * config_.batch, options.threads, kAheadMax));
    reader_ = std::make_unique<ImageReader>(items_, options);
  }

  // Labels about one batch. The state after it.
  absl::StatusOr<RankState> Round() {
    std::vector<LabelInput> batch;
    bool more = true;
    for (int i = 0; i < kImagesPerRound && batch.empty() && more; ++i) {
      std::optional<LabelInput> input = reader_->Next();
      more = input.has_value();
      if (more) batch = Take(*std::move(input));
    }
    if (!more) batch = batches_.TakeLargest();
    const bool finished = !more && batch.empty();
    YOKE_RETURN_IF_ERROR(LabelBatch(batch));
    return RankState{.done = done(), .finished = finished};
  }

  const std::vector<LabelItem>& items() const { return items_; }
  LabelResult& totals() { return totals_; }

 private:
  int64_t done() const { return totals_.labelled + totals_.empty + totals_.kept + totals_.failed; }

  std::vector<LabelInput> Take(LabelInput input) {
    switch (input.kind) {
      case LabelInput::kReady:
        return batches_.Add(std::move(input));
      case LabelInput::kKept:
        ++totals_.kept;
        return {};
      case LabelInput::kFailed:
        break;
    }
    ++totals_.failed;
    if (totals_.failures.size() < kLabelFailuresNamed) {
      totals_.failures.push_back(absl::StrCat(input.item->image_path, ": ", input.failure));
      observer_.OnWarning("not labelled: " + totals_.failures.back());
      if (totals_.failures.size() == kLabelFailuresNamed) {
        observer_.OnWarning("further images that fail are counted but not named");
      }
    }
    return {};
  }

  absl::Status LabelBatch(const std::vector<LabelInput>& batch) {
    if (batch.empty()) return absl::OkStatus();
    YOKE_ASSIGN_OR_RETURN(const auto detections, detector_->Detect(batch));
    for (size_t i = 0; i < batch.size(); ++i) {
      int64_t boxes = 0;
      const std::string text =
          LabelText(detections[i], batch[i].fit.image, config_.save_conf, &boxes);
      YOKE_RETURN_IF_ERROR(writer_.Write(batch[i].item->label_path, text));
      ++(boxes > 0 ? totals_.labelled : totals_.empty);
      totals_.boxes += boxes;
    }
    return absl::OkStatus();
  }

  const LabelConfig& config_;
  Group& group_;
  Observer& observer_;
  FileWriter writer_;
  ShapeBatches batches_;
  std::vector<LabelItem> items_;
  std::unique_ptr<Detector> detector_;
  std::shared_ptr<JpegDecoder> jpegs_;
  LabelResult totals_;
  std::unique_ptr<ImageReader> reader_;  // last: its threads use items_
};

// Ranks hold unequal work, so all go on until the last is done: those who are answer whether to
// stop.
absl::StatusOr<bool> LabelAll(LabelRun& run, Group& group, Observer& observer,
                              const StopSignal& stop) {
  const int64_t total = run.totals().images;
  while (true) {
    observer.OnIteration();
    absl::StatusOr<RankState> mine = run.Round();
    if (mine.ok()) mine->stop = stop.requested();
    YOKE_ASSIGN_OR_RETURN(const RankState all, Agree(mine, group));
    if (group.rank() == 0) observer.OnProgress(all.done, total, "images");
    if (all.finished || all.stop) return !all.finished;
  }
}

}  // namespace

absl::StatusOr<LabelResult> RunLabel(const LabelConfig& config, at::Device device, Group& group,
                                     Observer& observer, const StopSignal& stop) {
  observer.OnPhase("label");
  LabelRun run(config, group, observer);
  const absl::Status prepared = run.Prepare(device);
  YOKE_RETURN_IF_ERROR(
      Agree(prepared.ok() ? absl::StatusOr<RankState>(RankState()) : prepared, group).status());
  YOKE_ASSIGN_OR_RETURN(const bool same, SameOnAllRanks(PlanFingerprint(run.items()), group));
  if (!same) {
    return absl::FailedPreconditionError(
        "the sources changed while they were listed; start again once they hold still");
  }
  if (group.rank() == 0) {
    observer.OnLog(absl::StrCat(run.items().size(), " images; labels go to ", config.out));
  }
  const auto begin = std::chrono::steady_clock::now();
  run.StartReading();
  YOKE_ASSIGN_OR_RETURN(run.totals().stopped, LabelAll(run, group, observer, stop));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return SumOverRanks(run.totals(), seconds.count(), group);
}

}  // namespace yoke::engine
