#include "server/engine/train/run_record.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/train/epoch_columns.h"
#include "server/engine/train/run_args.h"

namespace yoke::engine {

RunRecord::RunRecord(TrainingSetup& setup, Observer& observer) : s_(setup) {
  if (!s_.config.plots) return;
  RunPlots::Options options;
  options.run_dir = s_.config.run_dir;
  options.names = s_.data.names;
  options.train = &s_.data.train;
  if (s_.val_loader != nullptr) options.val = &s_.data.val;
  options.epochs = s_.config.epochs;
  options.batches_per_epoch = s_.train_loader->batches_per_epoch();
  options.close_mosaic_from = CloseMosaicFrom(s_.config);
  options.warn = [&observer](const std::string& sentence) { observer.OnWarning(sentence); };
  options.on_picture = [this](const Picture& picture) {
    tensorboard_.Update(s_.tensorboard.AppendPicture(picture));
  };
  plots_ = std::make_unique<RunPlots>(std::move(options));
}

absl::Status RunRecord::Begin() {
  YOKE_RETURN_IF_ERROR(WriteArgs(s_.config));
  YOKE_RETURN_IF_ERROR(s_.tensorboard.Begin());
  if (plots_ != nullptr && s_.progress.iteration == 0) plots_->Start();
  return tensorboard_;
}

void RunRecord::OnTrainBatch(int epoch, int64_t position, const Batch& batch) {
  if (plots_ != nullptr) plots_->OnTrainBatch(epoch, position, batch);
}

BatchWatch RunRecord::ValidationWatch(int epoch) {
  if (plots_ == nullptr) return {};
  return [this, epoch](int64_t position, const Batch& batch, const auto& detections) {
    plots_->OnValBatch(epoch, position, batch, detections);
  };
}

absl::Status RunRecord::OnEpoch(const EpochReport& report, const EvalResult& validated) {
  YOKE_RETURN_IF_ERROR(tensorboard_);
  metrics_ = EpochMetrics(report);
  YOKE_RETURN_IF_ERROR(s_.results.Append(report));
  YOKE_RETURN_IF_ERROR(s_.tensorboard.Append(report));
  return s_.tensorboard.AppendClasses(report.epoch, validated.per_class);
}

absl::StatusOr<std::string> RunRecord::SaveWeights(const std::string& name, int epoch) {
  Weights weights;
  weights.spec = s_.identity.spec;
  weights.names = s_.data.names;
  weights.state = StateOf(s_.ema->model());
  for (auto& [key, tensor] : weights.state) tensor = tensor.to(at::kCPU);
  weights.metadata = {
      {"date", absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone())},
      {"trained_epochs", absl::StrCat(epoch)},
      {"recipe", s_.config.recipe_name}};
  const std::string path = absl::StrCat(s_.config.run_dir, "/weights/", name);
  const TrainingRecord record{ArgsOf(s_.config), metrics_, s_.results.Columns()};
  YOKE_RETURN_IF_ERROR(WriteWeights(path, weights, record));
  return path;
}

absl::Status RunRecord::End(int epoch, const EvalResult& best) {
  if (!best.curves.classes.empty()) {
    YOKE_RETURN_IF_ERROR(s_.tensorboard.AppendCurves(epoch, best.curves, best.per_class));
  }
  if (plots_ != nullptr) plots_->Finish(best.curves, best.confusion);
  YOKE_RETURN_IF_ERROR(tensorboard_);
  return s_.tensorboard.End(/*succeeded=*/true);
}

}  // namespace yoke::engine
