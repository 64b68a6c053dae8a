#include "server/engine/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "server/engine/data/cpu_clock.h"
#include "server/engine/eval/inference_model.h"
#include "server/engine/eval/validator.h"
#include "server/engine/train/resume.h"
#include "server/engine/train/run_record.h"
#include "server/engine/train/training_setup.h"

namespace yoke::engine {
namespace {

using Clock = std::chrono::steady_clock;

// Steps in a row that are not finite before the training goes back to its last good state. float16
// finds its loss scale by such steps.
constexpr int kBadStepsMax = 3, kBadStepsMaxScaled = 20;
constexpr int kRollbacksMax = 3;
// A long epoch is saved in between.
constexpr double kSaveSeconds = 600;
constexpr size_t kImagesNamed = 16;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

class Trainer {
 public:
  Trainer(at::Device device, Group& group, Observer& observer, const StopSignal& stop,
          TrainingSetup setup, StepFaults* faults)
      : device_(device),
        group_(group),
        observer_(observer),
        stop_(stop),
        s_(std::move(setup)),
        step_(s_, device, group, observer, clock_, faults),
        leads_(group.rank() == 0),
        world_(group.world_size()) {
    if (leads_) record_ = std::make_unique<RunRecord>(s_, observer);
  }

  absl::StatusOr<TrainResult> Run();

 private:
  enum class End { kNone, kStopped, kTimeUp };

  absl::StatusOr<End> TrainEpoch(int epoch);
  // What has arrived of finished iterations: losses, reports, and what is not finite.
  absl::Status Account(const Batch* batch);
  absl::Status Distrust(const FinishedIteration& iteration);
  absl::Status RollBack();
  absl::Status FinishEpoch(int epoch);
  // `epoch`: 0-based, or RunRecord::kNoEpoch.
  absl::StatusOr<ValidationResult> ValidateModel(DetectionModel& model, int epoch);
  // With val=False the last epoch alone is, if there are images for it.
  bool Validates(int epoch) const {
    return s_.val_loader != nullptr && (s_.config.val || epoch + 1 >= s_.config.epochs);
  }
  absl::Status Finish();
  absl::Status FitToTime(int epoch);
  absl::Status SaveEpoch(int epoch, bool is_best);
  absl::Status SaveWeights(const std::string& name, int epoch, const std::string& kind);
  absl::Status SaveTrainingState();
  absl::Status SaveStopped();
  void ReportStep(const FinishedIteration& iteration, const Batch& batch);
  Wishes MyWishes() const;
  std::string NamesOf(const FinishedIteration& iteration) const;
  // By this rank's clock, and what its loader's threads have spent.
  std::map<std::string, double> StageSeconds() const;
  double seconds() const { return seconds_before_ + SecondsSince(begin_); }
  TrainResult Result() const;

  const at::Device device_;
  Group& group_;
  Observer& observer_;
  const StopSignal& stop_;
  TrainingSetup s_;
  StageClock clock_;
  TrainStep step_;
  std::unique_ptr<RunRecord> record_;  // of the leading rank
  const bool leads_;
  const int world_;
  Clock::time_point begin_, epoch_begin_, saved_at_ = Clock::now();
  double seconds_before_ = 0;              // of earlier attempts
  int64_t epoch_first_ = 0;                // iteration that this attempt began the epoch with
  std::vector<double> images_per_second_;  // by epoch of this attempt
  int bad_steps_ = 0;                      // in a row
  int64_t told_bad_ = 0;                   // warnings given of them
  EvalResult validated_;                   // the latest
  int last_validated_ = 0;                 // epoch of it, 1-based
  double start_seconds_ = 0;               // from the process's start to the first batch
  bool stopped_ = false, early_stopped_ = false;
};

absl::StatusOr<TrainResult> Trainer::Run() {
  begin_ = Clock::now();
  seconds_before_ = s_.progress.seconds;
  if (leads_) YOKE_RETURN_IF_ERROR(record_->Begin());
  while (s_.progress.epochs_done < s_.config.epochs) {
    const int epoch = s_.progress.epochs_done;
    observer_.OnPhase("train");
    YOKE_ASSIGN_OR_RETURN(const End end, TrainEpoch(epoch));
    if (end == End::kNone) YOKE_RETURN_IF_ERROR(FinishEpoch(epoch));
    stopped_ = stopped_ || end == End::kStopped;
    if (stopped_ || end == End::kTimeUp) {
      YOKE_RETURN_IF_ERROR(SaveStopped());
      break;
    }
    if (s_.config.val && s_.early_stop.ShouldStop(epoch + 1)) {
      early_stopped_ = true;
      if (leads_) {
        observer_.OnLog(absl::StrCat("no better fitness for ", s_.config.patience,
                                     " epochs: stopping early; the best is epoch ",
                                     s_.early_stop.best_epoch()));
      }
      break;
    }
    YOKE_RETURN_IF_ERROR(FitToTime(epoch));
  }
  if (!stopped_) YOKE_RETURN_IF_ERROR(Finish());
  return Result();
}

absl::StatusOr<Trainer::End> Trainer::TrainEpoch(int epoch) {
  YOKE_ASSIGN_OR_RETURN(const bool stop, group_.AnyTrue(stop_.requested()));
  if (stop) return End::kStopped;
  s_.train_loader->StartEpoch(epoch, s_.progress.position * s_.config.batch);
  s_.model->train();
  if (s_.progress.position == 0) {
    s_.progress.losses = {};
    if (s_.config.recipe.zero_grad) step_.Forget();
  }
  epoch_begin_ = Clock::now();
  epoch_first_ = s_.progress.position;
  while (true) {
    clock_.Start();
    YOKE_ASSIGN_OR_RETURN(std::unique_ptr<Batch> batch, s_.train_loader->Next());
    clock_.Lap(Stage::kLoad);
    if (batch == nullptr) break;
    if (start_seconds_ == 0) start_seconds_ = ProcessAgeSeconds();
    if (leads_) record_->OnTrainBatch(epoch, s_.progress.position, *batch);
    observer_.OnIteration();
    YOKE_ASSIGN_OR_RETURN(const Wishes all,
                          step_.Run(epoch, s_.progress.position, *batch, MyWishes()));
    ++s_.progress.position;
    if (step_.due()) YOKE_RETURN_IF_ERROR(Account(batch.get()));
    s_.train_loader->Recycle(std::move(batch));
    const bool last = s_.progress.position >= s_.train_loader->batches_per_epoch();
    if (last) continue;  // the epoch is finished as such
    if (all.stop) return End::kStopped;
    if (all.time_up) return End::kTimeUp;
    if (!all.save) continue;
    observer_.OnPhase("save");
    YOKE_RETURN_IF_ERROR(SaveTrainingState());
    observer_.OnPhase("train");
  }
  YOKE_RETURN_IF_ERROR(Account(nullptr));
  const int64_t iterations = s_.progress.position - epoch_first_;
  const double images = static_cast<double>(s_.train_loader->images_per_epoch() * world_) *
                        static_cast<double>(iterations) /
                        static_cast<double>(s_.train_loader->batches_per_epoch());
  // None, if only the validation was missing.
  if (iterations > 0) images_per_second_.push_back(images / SecondsSince(epoch_begin_));
  return End::kNone;
}

Wishes Trainer::MyWishes() const {
  Wishes wishes;
  wishes.stop = stop_.requested();
  if (!leads_) return wishes;
  wishes.save = SecondsSince(saved_at_) > kSaveSeconds;
  wishes.time_up = s_.config.time_hours > 0 && seconds() > s_.config.time_hours * 3600;
  return wishes;
}

absl::Status Trainer::Account(const Batch* batch) {
  for (const FinishedIteration& iteration : step_.Drain()) {
    if (!iteration.finite) {
      YOKE_RETURN_IF_ERROR(Distrust(iteration));
      continue;
    }
    if (iteration.stepped) bad_steps_ = 0;
    s_.progress.losses.Add(iteration.box, iteration.cls, iteration.dfl);
    if (leads_ && batch != nullptr) ReportStep(iteration, *batch);
  }
  return absl::OkStatus();
}

// Gradients are the same on all ranks, so all come to the same decision.
absl::Status Trainer::Distrust(const FinishedIteration& iteration) {
  if (!iteration.stepped) return absl::OkStatus();  // its step will not be finite either
  ++s_.progress.skipped_steps;
  const bool scaled = s_.scaler->enabled();
  if (!scaled || bad_steps_ > kBadStepsMax) {
    if (told_bad_++ < kBadStepsMax * kRollbacksMax) {
      observer_.OnWarning(absl::StrCat(
          "step left out: losses or gradients are not finite at iteration ", iteration.position + 1,
          " of epoch ", iteration.epoch + 1, " (box ", iteration.box, ", cls ", iteration.cls,
          ", dfl ", iteration.dfl, "), with the images ", NamesOf(iteration)));
    }
  }
  if (++bad_steps_ < (scaled ? kBadStepsMaxScaled : kBadStepsMax)) return absl::OkStatus();
  bad_steps_ = 0;
  return RollBack();
}

std::string Trainer::NamesOf(const FinishedIteration& iteration) const {
  std::vector<std::string> names;
  for (const int64_t sample : iteration.samples) {
    if (names.size() == kImagesNamed) {
      names.push_back("...");
      break;
    }
    names.push_back(s_.data.train.samples[static_cast<size_t>(sample)].image_path);
  }
  return absl::StrJoin(names, " ");
}

absl::Status Trainer::RollBack() {
  if (s_.progress.rollbacks >= kRollbacksMax) {
    return absl::OutOfRangeError(
        absl::StrCat("losses or gradients stay not finite: ", s_.progress.skipped_steps,
                     " steps were left out and the training went back ", s_.progress.rollbacks,
                     " times; lower lr0", s_.precision.has_value() ? " or give amp=false" : "",
                     ". best.pt and last.pt are those of good epochs"));
  }
  ++s_.progress.rollbacks;
  std::string ignored;
  const absl::StatusOr<TrainState> state = LoadState(s_.config.run_dir + "/checkpoints", &ignored);
  Observer silent;
  if (state.ok()) {
    RestoreTensors(*state, s_);
  } else {
    YOKE_RETURN_IF_ERROR(ResetWeights(s_, group_, silent));
  }
  s_.scaler->Reset();
  step_.Forget();
  if (leads_) {
    observer_.OnWarning(absl::StrCat(
        "went back to ", state.ok() ? "the last state saved" : "the weights it began with",
        "; the training goes on with the next images"));
  }
  return absl::OkStatus();
}

std::map<std::string, double> Trainer::StageSeconds() const {
  std::map<std::string, double> seconds = clock_.seconds();
  const LoaderTimes loader = s_.train_loader->times();
  seconds["decode"] = loader.decode_seconds;
  seconds["augment"] = loader.augment_seconds;
  seconds["start"] = start_seconds_;
  return seconds;
}

void Trainer::ReportStep(const FinishedIteration& iteration, const Batch& batch) {
  StepReport report;
  report.epoch = iteration.epoch + 1;
  report.iteration = iteration.position + 1;
  report.iterations = s_.train_loader->batches_per_epoch();
  report.box_loss = s_.progress.losses.box;
  report.cls_loss = s_.progress.losses.cls;
  report.dfl_loss = s_.progress.losses.dfl;
  report.lr = s_.schedule->At(iteration.epoch, s_.progress.iteration - 1).Lr();
  const double share =
      static_cast<double>(report.iteration - epoch_first_) / static_cast<double>(report.iterations);
  report.images_per_second = share * static_cast<double>(s_.train_loader->images_per_epoch()) *
                             world_ / SecondsSince(epoch_begin_);
  report.instances = static_cast<int64_t>(batch.labels.size());
  report.image_size = batch.width;
  report.stage_seconds = StageSeconds();
  observer_.OnStep(report);
}

absl::StatusOr<ValidationResult> Trainer::ValidateModel(DetectionModel& model, int epoch) {
  if (!Validates(epoch)) return ValidationResult();
  observer_.OnPhase("val");
  ValConfig val;
  val.iou = s_.config.iou;
  val.max_det = s_.config.max_det;
  return Validate(model, *s_.val_loader, s_.data.names, val, s_.loss.get(), device_, group_,
                  observer_, stop_, leads_ ? record_->ValidationWatch(epoch) : BatchWatch());
}

// Curves and the last pictures are those of the best weights.
absl::Status Trainer::Finish() {
  const int best = s_.early_stop.best_epoch();
  if (s_.config.plots && s_.config.val && best > 0 && last_validated_ != best) {
    YOKE_ASSIGN_OR_RETURN(
        const InferenceModel model,
        LoadForInference(absl::StrCat(s_.config.run_dir, "/weights/best.pt"), device_, at::kFloat));
    YOKE_ASSIGN_OR_RETURN(ValidationResult validated,
                          ValidateModel(*model.model, RunRecord::kNoEpoch));
    if (validated.stopped) return absl::OkStatus();
    validated_ = std::move(validated.eval);
  }
  return leads_ ? record_->End(best, validated_) : absl::OkStatus();
}

absl::Status Trainer::FinishEpoch(int epoch) {
  clock_.Start();
  // Each rank saw other images: rank 0's running statistics stand for all.
  at::Tensor buffers = s_.flat->buffers();
  YOKE_RETURN_IF_ERROR(group_.Broadcast(buffers, 0));
  at::Tensor averages = s_.ema->values();
  YOKE_RETURN_IF_ERROR(group_.Broadcast(averages, 0));
  // Each rank saw its shard; people compare the mean.
  const LossMeans& losses = s_.progress.losses;
  at::Tensor means = at::tensor({losses.box, losses.cls, losses.dfl},
                                at::TensorOptions(at::kDouble).device(device_));
  YOKE_RETURN_IF_ERROR(group_.AllReduceSum(means));
  means = means.div(world_).to(at::kCPU);
  clock_.Lap(Stage::kReduce);

  YOKE_ASSIGN_OR_RETURN(ValidationResult validated, ValidateModel(s_.ema->model(), epoch));
  clock_.Lap(Stage::kVal);
  stopped_ = validated.stopped;
  // All of it is trained, which the state saved says; who resumes from there begins with this
  // validation.
  if (stopped_) return absl::OkStatus();

  EpochReport report;
  report.epoch = epoch + 1;
  report.epochs = s_.config.epochs;
  report.box_loss = means[0].item<double>();
  report.cls_loss = means[1].item<double>();
  report.dfl_loss = means[2].item<double>();
  report.val_box_loss = validated.box_loss;
  report.val_cls_loss = validated.cls_loss;
  report.val_dfl_loss = validated.dfl_loss;
  report.metrics = validated.eval.metrics;
  const double share = s_.config.recipe.fitness_map50;
  report.metrics.fitness = share * report.metrics.map50 + (1 - share) * report.metrics.map5095;
  report.metrics.fitness = std::round(report.metrics.fitness * 1e5) / 1e5;
  report.lr = s_.optimizer->RatesOf(s_.schedule->At(epoch, s_.progress.iteration - 1));
  if (s_.config.recipe.lr_bias_first && report.lr.size() == 3) {
    std::rotate(report.lr.begin(), report.lr.begin() + 2, report.lr.end());
    std::swap(report.lr[1], report.lr[2]);
  }
  report.seconds = seconds();
  report.images_per_second = images_per_second_.empty() ? 0 : images_per_second_.back();
  report.stage_seconds = StageSeconds();

  const bool is_best = Validates(epoch) && std::isfinite(report.metrics.fitness) &&
                       s_.early_stop.Record(epoch + 1, report.metrics.fitness);
  if (is_best) s_.progress.best_metrics = report.metrics;
  s_.progress.epochs_done = epoch + 1;
  s_.progress.position = 0;
  s_.progress.seconds = report.seconds;
  if (leads_) {
    YOKE_RETURN_IF_ERROR(record_->OnEpoch(report, validated.eval));
  }
  validated_ = std::move(validated.eval);
  last_validated_ = epoch + 1;
  YOKE_RETURN_IF_ERROR(SaveEpoch(epoch + 1, is_best));
  if (leads_) observer_.OnEpoch(report);
  clock_.Lap(Stage::kSave);
  return absl::OkStatus();
}

// With a time budget the number of epochs is what fits into it at the pace so far.
absl::Status Trainer::FitToTime(int epoch) {
  if (s_.config.time_hours == 0) return absl::OkStatus();
  const double mean = seconds() / (epoch + 1);
  std::vector<int64_t> epochs = {
      leads_ ? static_cast<int64_t>(std::ceil(s_.config.time_hours * 3600 / mean)) : 0};
  YOKE_ASSIGN_OR_RETURN(epochs, group_.Max(epochs));
  SetEpochs(static_cast<int>(std::max<int64_t>(epochs[0], epoch + 1)), s_);
  return absl::OkStatus();
}

absl::Status Trainer::SaveWeights(const std::string& name, int epoch, const std::string& kind) {
  YOKE_ASSIGN_OR_RETURN(const std::string path, record_->SaveWeights(name, epoch));
  observer_.OnCheckpoint({epoch, path, kind});
  return absl::OkStatus();
}

// On every rank, between two iterations.
absl::Status Trainer::SaveTrainingState() {
  YOKE_RETURN_IF_ERROR(Account(nullptr));
  s_.progress.seconds = seconds();
  YOKE_ASSIGN_OR_RETURN(TrainState state, CaptureState(s_, s_.progress, group_));
  saved_at_ = Clock::now();
  if (!leads_) return absl::OkStatus();
  const std::string folder = s_.config.run_dir + "/checkpoints";
  YOKE_RETURN_IF_ERROR(SaveState(folder, state));
  observer_.OnCheckpoint({s_.progress.epochs_done, folder, "state"});
  return absl::OkStatus();
}

absl::Status Trainer::SaveEpoch(int epoch, bool is_best) {
  observer_.OnPhase("save");
  if (leads_) {
    YOKE_RETURN_IF_ERROR(SaveWeights("last.pt", epoch, "last"));
    if (is_best || !s_.config.val) YOKE_RETURN_IF_ERROR(SaveWeights("best.pt", epoch, "best"));
    if (s_.config.save_period > 0 && epoch % s_.config.save_period == 0) {
      YOKE_RETURN_IF_ERROR(SaveWeights(absl::StrCat("epoch", epoch, ".pt"), epoch, "periodic"));
    }
  }
  return SaveTrainingState();
}

absl::Status Trainer::SaveStopped() {
  observer_.OnPhase("save");
  if (leads_) YOKE_RETURN_IF_ERROR(SaveWeights("last.pt", s_.progress.epochs_done, "last"));
  return SaveTrainingState();
}

TrainResult Trainer::Result() const {
  TrainResult result;
  result.epochs = s_.progress.epochs_done;
  result.best_epoch = s_.early_stop.best_epoch();
  result.metrics = s_.progress.best_metrics;
  result.stopped = stopped_;
  result.early_stopped = early_stopped_;
  const size_t skip = images_per_second_.size() > 1 ? 1 : 0;  // the first epoch warms caches
  for (size_t i = skip; i < images_per_second_.size(); ++i) {
    result.images_per_second +=
        images_per_second_[i] / static_cast<double>(images_per_second_.size() - skip);
  }
  result.weights_checksum = s_.flat->values().abs().sum(at::kDouble).item<double>();
  result.batch = s_.config.batch;
  result.precision = PrecisionName(s_.precision);
  result.skipped_steps = s_.progress.skipped_steps;
  result.rollbacks = s_.progress.rollbacks;
  result.parts = s_.progress.parts;
  result.stage_seconds = StageSeconds();
  return result;
}

}  // namespace

absl::StatusOr<TrainResult> RunTraining(const TrainConfig& config, at::Device device, Group& group,
                                        Observer& observer, const StopSignal& stop,
                                        StepFaults* faults) {
  YOKE_ASSIGN_OR_RETURN(TrainingSetup setup, SetUpTraining(config, device, group, observer));
  return RunTraining(std::move(setup), device, group, observer, stop, faults);
}

absl::StatusOr<TrainResult> RunTraining(TrainingSetup setup, at::Device device, Group& group,
                                        Observer& observer, const StopSignal& stop,
                                        StepFaults* faults) {
  Trainer trainer(device, group, observer, stop, std::move(setup), faults);
  return trainer.Run();
}

}  // namespace yoke::engine
