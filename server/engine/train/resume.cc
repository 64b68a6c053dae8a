#include "server/engine/train/resume.h"

#include "absl/strings/str_cat.h"

namespace yoke::engine {
namespace {

constexpr char kModel[] = "model:", kEma[] = "ema:", kOptimizer[] = "optimizer:";

// The entries whose names begin with `prefix`, without it.
std::map<std::string, at::Tensor> Part(const TrainState& state, const std::string& prefix) {
  std::map<std::string, at::Tensor> part;
  for (const auto& [name, tensor] : state.tensors) {
    if (name.compare(0, prefix.size(), prefix) == 0) part[name.substr(prefix.size())] = tensor;
  }
  return part;
}

void AddPart(const std::map<std::string, at::Tensor>& part, const std::string& prefix,
             TrainState& state) {
  for (const auto& [name, tensor] : part) state.tensors[prefix + name] = tensor.to(at::kCPU);
}

double NumberOf(const TrainState& state, const std::string& name) {
  const auto found = state.numbers.find(name);
  return found == state.numbers.end() ? 0 : found->second;
}

std::string TextOf(const TrainState& state, const std::string& name) {
  const auto found = state.strings.find(name);
  return found == state.strings.end() ? "" : found->second;
}

}  // namespace

TrainState CaptureState(const Progress& progress, const EarlyStop& stop, const Identity& identity,
                        DetectionModel& model, Ema& ema, const Optimizer& optimizer) {
  TrainState state;
  AddPart(StateOf(model), kModel, state);
  AddPart(StateOf(ema.model()), kEma, state);
  AddPart(optimizer.State(), kOptimizer, state);
  const DetectionMetrics& best = progress.best_metrics;
  state.numbers = {{"epochs_done", progress.epochs_done},
                   {"iteration", static_cast<double>(progress.iteration)},
                   {"last_step", static_cast<double>(progress.last_step)},
                   {"seconds", progress.seconds},
                   {"ema_updates", static_cast<double>(ema.updates())},
                   {"best_epoch", stop.best_epoch()},
                   {"best_fitness", stop.best_fitness()},
                   {"best_precision", best.precision},
                   {"best_recall", best.recall},
                   {"best_map50", best.map50},
                   {"best_map5095", best.map5095},
                   {"class_count", identity.spec.class_count}};
  state.strings = {{"scale", std::string(1, identity.spec.scale)},
                   {"optimizer", identity.optimizer},
                   {"data_hash", identity.data_hash}};
  return state;
}

absl::StatusOr<Progress> RestoreState(const TrainState& state, const Identity& identity,
                                      EarlyStop& stop, DetectionModel& model, Ema& ema,
                                      Optimizer& optimizer, Observer& observer) {
  const std::string scale = TextOf(state, "scale");
  const auto classes = static_cast<int>(NumberOf(state, "class_count"));
  if (scale != std::string(1, identity.spec.scale) || classes != identity.spec.class_count) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot resume: the state is of yolov8", scale, " with ", classes,
        " classes, this training is of yolov8", std::string(1, identity.spec.scale), " with ",
        identity.spec.class_count, "; give the model and data it was started with"));
  }
  CopyState(Part(state, kModel), model);
  CopyState(Part(state, kEma), ema.model());
  ema.set_updates(static_cast<int64_t>(NumberOf(state, "ema_updates")));
  if (TextOf(state, "optimizer") == identity.optimizer) {
    optimizer.LoadState(Part(state, kOptimizer));
  } else {
    observer.OnWarning(absl::StrCat("resuming with ", identity.optimizer, " what ",
                                    TextOf(state, "optimizer"),
                                    " began: the optimizer starts afresh"));
  }
  if (TextOf(state, "data_hash") != identity.data_hash) {
    observer.OnWarning("the training images or labels have changed since this run was saved");
  }
  Progress progress;
  progress.epochs_done = static_cast<int>(NumberOf(state, "epochs_done"));
  progress.iteration = static_cast<int64_t>(NumberOf(state, "iteration"));
  progress.last_step = static_cast<int64_t>(NumberOf(state, "last_step"));
  progress.seconds = NumberOf(state, "seconds");
  stop.Restore(static_cast<int>(NumberOf(state, "best_epoch")), NumberOf(state, "best_fitness"));
  progress.best_metrics = {NumberOf(state, "best_precision"), NumberOf(state, "best_recall"),
                           NumberOf(state, "best_map50"), NumberOf(state, "best_map5095"),
                           NumberOf(state, "best_fitness")};
  return progress;
}

}  // namespace yoke::engine
