#include "server/engine/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/eval/batch_tensors.h"
#include "server/engine/eval/validator.h"
#include "server/engine/train/autocast.h"
#include "server/engine/train/epoch_columns.h"
#include "server/engine/train/run_args.h"
#include "server/engine/train/training_setup.h"

namespace yoke::engine {
namespace {

using Clock = std::chrono::steady_clock;

// Ranks on GPUs agree on stopping less often: it waits for what the device has queued.
constexpr int64_t kStopIntervalGpu = 10;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct LossMeans {
  double box = 0, cls = 0, dfl = 0;
  int64_t count = 0;

  void Add(double box_loss, double cls_loss, double dfl_loss) {
    const auto n = static_cast<double>(count++);
    box = (box * n + box_loss) / (n + 1);
    cls = (cls * n + cls_loss) / (n + 1);
    dfl = (dfl * n + dfl_loss) / (n + 1);
  }
};

class Trainer {
 public:
  Trainer(const TrainConfig& config, at::Device device, Group& group, Observer& observer,
          const StopSignal& stop, TrainingSetup setup)
      : config_(config),
        device_(device),
        group_(group),
        observer_(observer),
        stop_(stop),
        s_(std::move(setup)),
        leads_(group.rank() == 0),
        world_(group.world_size()) {}

  absl::StatusOr<TrainResult> Run();

 private:
  struct EpochOutcome {
    LossMeans losses;
    IterationRates rates;  // of the last iteration
    double images_per_second = 0;
    bool stopped = false;
  };

  absl::StatusOr<EpochOutcome> TrainEpoch(int epoch);
  absl::Status Iterate(int epoch, int64_t position, const Batch& batch, EpochOutcome& outcome);
  absl::Status FinishEpoch(int epoch, const EpochOutcome& outcome);
  absl::StatusOr<ValidationResult> ValidateEma();
  absl::Status SaveEpoch(int epoch, bool is_best);
  absl::Status SaveWeights(const std::string& name, int epoch, const std::string& kind);
  absl::Status SaveTrainingState(int epoch);
  absl::Status SaveStopped();
  void ReportStep(int epoch, int64_t position, const Batch& batch, const EpochOutcome& outcome);

  const TrainConfig& config_;
  const at::Device device_;
  Group& group_;
  Observer& observer_;
  const StopSignal& stop_;
  TrainingSetup s_;
  const bool leads_;
  const int world_;
  Clock::time_point begin_, epoch_begin_;
  double seconds_before_ = 0;              // of earlier attempts
  std::vector<double> images_per_second_;  // by epoch of this attempt
  std::vector<std::pair<std::string, double>> metrics_;  // of the last epoch
  bool stopped_ = false, early_stopped_ = false;
};

absl::StatusOr<TrainResult> Trainer::Run() {
  begin_ = Clock::now();
  seconds_before_ = s_.progress.seconds;
  if (leads_) YOKE_RETURN_IF_ERROR(WriteArgs(config_));
  for (int epoch = s_.progress.epochs_done; epoch < config_.epochs; ++epoch) {
    observer_.OnPhase("train");
    YOKE_ASSIGN_OR_RETURN(const EpochOutcome outcome, TrainEpoch(epoch));
    if (!outcome.stopped) YOKE_RETURN_IF_ERROR(FinishEpoch(epoch, outcome));
    if (outcome.stopped || stopped_) {
      stopped_ = true;
      YOKE_RETURN_IF_ERROR(SaveStopped());
      break;
    }
    if (config_.val && s_.early_stop.ShouldStop(epoch + 1)) {
      early_stopped_ = true;
      if (leads_) {
        observer_.OnLog(absl::StrCat("no better fitness for ", config_.patience,
                                     " epochs: stopping early; the best is epoch ",
                                     s_.early_stop.best_epoch()));
      }
      break;
    }
  }
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
  for (const auto& [name, tensor] : StateOf(*s_.model)) {
    if (tensor.is_floating_point()) {
      result.weights_checksum += tensor.abs().sum(at::kDouble).item<double>();
    }
  }
  return result;
}

absl::StatusOr<Trainer::EpochOutcome> Trainer::TrainEpoch(int epoch) {
  EpochOutcome outcome;
  s_.train_loader->StartEpoch(epoch);
  s_.model->train();
  if (config_.recipe.zero_grad) s_.optimizer->ZeroGradients();
  epoch_begin_ = Clock::now();
  const int64_t interval = device_.is_cpu() ? 1 : kStopIntervalGpu;
  for (int64_t position = 0;; ++position) {
    if (position % interval == 0) {
      YOKE_ASSIGN_OR_RETURN(outcome.stopped, group_.AnyTrue(stop_.requested()));
      if (outcome.stopped) return outcome;
    }
    YOKE_ASSIGN_OR_RETURN(std::unique_ptr<Batch> batch, s_.train_loader->Next());
    if (batch == nullptr) break;
    YOKE_RETURN_IF_ERROR(Iterate(epoch, position, *batch, outcome));
    if (leads_) ReportStep(epoch, position, *batch, outcome);
    s_.train_loader->Recycle(std::move(batch));
  }
  outcome.images_per_second = static_cast<double>(s_.train_loader->images_per_epoch()) * world_ /
                              SecondsSince(epoch_begin_);
  return outcome;
}

absl::Status Trainer::Iterate(int epoch, int64_t position, const Batch& batch,
                              EpochOutcome& outcome) {
  const int64_t iteration = s_.progress.iteration;
  outcome.rates = s_.schedule->At(epoch, iteration);
  s_.optimizer->SetRates(outcome.rates);
  const bool steps = iteration - s_.progress.last_step >= outcome.rates.accumulate;

  HeadMaps maps;
  {
    const Autocast autocast(device_, s_.amp);
    maps = s_.model->Forward(ImagesOf(batch, device_));
  }
  const LossOutput loss = s_.loss->Compute(maps, TargetsOf(batch, device_));
  // Gradients are averaged over ranks; the recipe wants their sum.
  const at::Tensor total = loss.total * world_;
  if (steps) YOKE_RETURN_IF_ERROR(s_.reducer->Prepare(total));
  total.backward();

  const at::Tensor items = loss.items_3.to(at::kCPU, at::kDouble);
  const double box = items[0].item<double>(), cls = items[1].item<double>(),
               dfl = items[2].item<double>();
  if (!std::isfinite(box + cls + dfl)) {
    return absl::OutOfRangeError(absl::StrCat(
        "the loss is not finite any more (epoch ", epoch + 1, ", iteration ", position + 1,
        ": box ", box, ", cls ", cls, ", dfl ", dfl, "); lower lr0",
        s_.amp.has_value() ? " or give amp=false" : "", ". Weights up to the last epoch are kept"));
  }
  outcome.losses.Add(box, cls, dfl);
  if (steps) {
    s_.optimizer->Step();
    s_.ema->Update();
    s_.progress.last_step = iteration;
  }
  ++s_.progress.iteration;
  return absl::OkStatus();
}

void Trainer::ReportStep(int epoch, int64_t position, const Batch& batch,
                         const EpochOutcome& outcome) {
  StepReport report;
  report.epoch = epoch + 1;
  report.iteration = position + 1;
  report.iterations = s_.train_loader->batches_per_epoch();
  report.box_loss = outcome.losses.box;
  report.cls_loss = outcome.losses.cls;
  report.dfl_loss = outcome.losses.dfl;
  report.lr = outcome.rates.lr;
  const double share = static_cast<double>(position + 1) / static_cast<double>(report.iterations);
  report.images_per_second = share * static_cast<double>(s_.train_loader->images_per_epoch()) *
                             world_ / SecondsSince(epoch_begin_);
  report.instances = static_cast<int64_t>(batch.labels.size());
  report.image_size = batch.width;
  observer_.OnStep(report);
}

absl::StatusOr<ValidationResult> Trainer::ValidateEma() {
  if (!config_.val) return ValidationResult();
  observer_.OnPhase("val");
  ValConfig val;
  val.iou = config_.iou;
  val.max_det = config_.max_det;
  return Validate(s_.ema->model(), *s_.val_loader, s_.data.names, val, s_.loss.get(), device_,
                  group_, observer_, stop_);
}

absl::Status Trainer::FinishEpoch(int epoch, const EpochOutcome& outcome) {
  YOKE_RETURN_IF_ERROR(BroadcastBuffers(*s_.model, group_));
  YOKE_RETURN_IF_ERROR(BroadcastBuffers(s_.ema->model(), group_));
  // Each rank saw its shard; people compare the mean.
  at::Tensor means = at::tensor({outcome.losses.box, outcome.losses.cls, outcome.losses.dfl},
                                at::TensorOptions(at::kDouble).device(device_));
  YOKE_RETURN_IF_ERROR(group_.AllReduceSum(means));
  means = means.div(world_).to(at::kCPU);

  YOKE_ASSIGN_OR_RETURN(const ValidationResult validated, ValidateEma());
  stopped_ = validated.stopped;
  images_per_second_.push_back(outcome.images_per_second);

  EpochReport report;
  report.epoch = epoch + 1;
  report.epochs = config_.epochs;
  report.box_loss = means[0].item<double>();
  report.cls_loss = means[1].item<double>();
  report.dfl_loss = means[2].item<double>();
  report.val_box_loss = validated.box_loss;
  report.val_cls_loss = validated.cls_loss;
  report.val_dfl_loss = validated.dfl_loss;
  report.metrics = validated.eval.metrics;
  const double share = config_.recipe.fitness_map50;
  report.metrics.fitness = share * report.metrics.map50 + (1 - share) * report.metrics.map5095;
  report.metrics.fitness = std::round(report.metrics.fitness * 1e5) / 1e5;
  const double lr = outcome.rates.lr, bias_lr = outcome.rates.bias_lr;
  report.lr = config_.recipe.lr_bias_first ? std::vector<double>{bias_lr, lr, lr}
                                           : std::vector<double>{lr, lr, bias_lr};
  report.seconds = seconds_before_ + SecondsSince(begin_);
  report.images_per_second = outcome.images_per_second;

  // An epoch whose validation was cut short has no fitness; its training still counts.
  const bool is_best = !stopped_ && s_.early_stop.Record(epoch + 1, report.metrics.fitness);
  if (is_best) s_.progress.best_metrics = report.metrics;
  s_.progress.epochs_done = epoch + 1;
  s_.progress.seconds = report.seconds;
  metrics_ = EpochMetrics(report);
  if (!leads_) return absl::OkStatus();
  YOKE_RETURN_IF_ERROR(s_.results.Append(report));
  YOKE_RETURN_IF_ERROR(s_.tensorboard.Append(report));
  YOKE_RETURN_IF_ERROR(SaveEpoch(epoch + 1, is_best));
  observer_.OnEpoch(report);
  return absl::OkStatus();
}

absl::Status Trainer::SaveWeights(const std::string& name, int epoch, const std::string& kind) {
  Weights weights;
  weights.spec = s_.identity.spec;
  weights.names = s_.data.names;
  weights.state = StateOf(s_.ema->model());
  for (auto& [key, tensor] : weights.state) tensor = tensor.to(at::kCPU);
  weights.metadata = {
      {"date", absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone())},
      {"trained_epochs", absl::StrCat(epoch)},
      {"recipe", config_.recipe_name}};
  const std::string path = absl::StrCat(config_.run_dir, "/weights/", name);
  const TrainingRecord record{ArgsOf(config_), metrics_, s_.results.Columns()};
  YOKE_RETURN_IF_ERROR(WriteWeights(path, weights, record));
  observer_.OnCheckpoint({epoch, path, kind});
  return absl::OkStatus();
}

absl::Status Trainer::SaveTrainingState(int epoch) {
  TrainState state =
      CaptureState(s_.progress, s_.early_stop, s_.identity, *s_.model, *s_.ema, *s_.optimizer);
  state.numbers["epochs_done"] = epoch;
  const std::string folder = config_.run_dir + "/checkpoints";
  YOKE_RETURN_IF_ERROR(SaveState(folder, state));
  observer_.OnCheckpoint({epoch, folder, "state"});
  return absl::OkStatus();
}

absl::Status Trainer::SaveEpoch(int epoch, bool is_best) {
  observer_.OnPhase("save");
  YOKE_RETURN_IF_ERROR(SaveWeights("last.pt", epoch, "last"));
  if (is_best || !config_.val) YOKE_RETURN_IF_ERROR(SaveWeights("best.pt", epoch, "best"));
  if (config_.save_period > 0 && epoch % config_.save_period == 0) {
    YOKE_RETURN_IF_ERROR(SaveWeights(absl::StrCat("epoch", epoch, ".pt"), epoch, "periodic"));
  }
  return SaveTrainingState(epoch);
}

// A run stopped within an epoch resumes at that epoch's beginning, so its last whole epoch's state
// stands; one stopped in its first epoch keeps what it has learnt.
absl::Status Trainer::SaveStopped() {
  if (!leads_) return absl::OkStatus();
  observer_.OnPhase("save");
  YOKE_RETURN_IF_ERROR(SaveWeights("last.pt", s_.progress.epochs_done, "last"));
  if (s_.progress.epochs_done > 0) return absl::OkStatus();
  s_.progress.iteration = 0;
  s_.progress.last_step = -1;
  return SaveTrainingState(0);
}

}  // namespace

absl::StatusOr<TrainResult> RunTraining(const TrainConfig& config, at::Device device, Group& group,
                                        Observer& observer, const StopSignal& stop) {
  YOKE_ASSIGN_OR_RETURN(TrainingSetup setup, SetUpTraining(config, device, group, observer));
  Trainer trainer(config, device, group, observer, stop, std::move(setup));
  return trainer.Run();
}

}  // namespace yoke::engine
