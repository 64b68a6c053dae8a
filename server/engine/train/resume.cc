#include "server/engine/train/resume.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "server/engine/resume_path.h"

namespace yoke::engine {
namespace {

constexpr char kModel[] = "model:", kEma[] = "ema:", kOptimizer[] = "optimizer:",
               kGradient[] = "gradient:", kScaler[] = "scaler:", kTrainMarks[] = "data:train",
               kValMarks[] = "data:val";

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
  for (const auto& [name, tensor] : part) {
    state.tensors[prefix + name] = tensor.to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  }
}

double NumberOf(const TrainState& state, const std::string& name) {
  const auto found = state.numbers.find(name);
  return found == state.numbers.end() ? 0 : found->second;
}

std::string TextOf(const TrainState& state, const std::string& name) {
  const auto found = state.strings.find(name);
  return found == state.strings.end() ? "" : found->second;
}

// (images, 2)
at::Tensor ToTensor(const ImageMarks& marks) {
  at::Tensor tensor = at::empty({static_cast<int64_t>(marks.size()), 2}, at::kLong);
  auto* out = tensor.data_ptr<int64_t>();
  for (const auto& [name, content] : marks) *out++ = name, *out++ = content;
  return tensor;
}

ImageMarks ToMarks(const TrainState& state, const std::string& name) {
  ImageMarks marks;
  const auto found = state.tensors.find(name);
  if (found == state.tensors.end()) return marks;
  const at::Tensor values = found->second.to(at::kLong).reshape({-1, 2}).contiguous();
  const auto* in = values.data_ptr<int64_t>();
  for (int64_t i = 0; i < values.size(0); ++i, in += 2) marks.emplace_back(in[0], in[1]);
  return marks;
}

DataIdentity DataOf(const TrainState& state) {
  DataIdentity data;
  const auto names = nlohmann::json::parse(TextOf(state, "names"), nullptr, false);
  if (names.is_array()) {
    for (const auto& name : names)
      data.names.push_back(name.is_string() ? name.get<std::string>() : "");
  }
  data.train = ToMarks(state, kTrainMarks);
  data.val = ToMarks(state, kValMarks);
  return data;
}
int64_t Whole(const TrainState& state, const std::string& name) {
  return static_cast<int64_t>(NumberOf(state, name));
}

// Whether gradients wait for a step.
bool Accumulates(const Progress& progress) { return progress.iteration - progress.last_step > 1; }

}  // namespace

absl::StatusOr<TrainState> CaptureState(const TrainingSetup& setup, const Progress& progress,
                                        Group& group) {
  TrainState state;
  AddPart(StateOf(*setup.model), kModel, state);
  AddPart(StateOf(setup.ema->model()), kEma, state);
  AddPart(setup.optimizer->State(), kOptimizer, state);
  AddPart(setup.scaler->State(), kScaler, state);
  if (Accumulates(progress)) {
    at::Tensor gradients = setup.flat->gradients().clone();
    YOKE_RETURN_IF_ERROR(group.AllReduceSum(gradients));
    for (const FlatEntry& entry : setup.flat->trained()) {
      state.tensors[kGradient + entry.name] =
          gradients.narrow(0, entry.offset, entry.tensor.numel())
              .view(entry.tensor.sizes())
              .to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
    }
  }
  const DetectionMetrics& best = progress.best_metrics;
  state.numbers = {{"epochs_done", progress.epochs_done},
                   {"batch", static_cast<double>(setup.config.batch)},
                   // In images, which mean the same whatever the batch.
                   {"position_images", static_cast<double>(progress.position * setup.config.batch)},
                   {"iteration", static_cast<double>(progress.iteration)},
                   {"last_step", static_cast<double>(progress.last_step)},
                   {"seconds", progress.seconds},
                   {"box_loss", progress.losses.box},
                   {"cls_loss", progress.losses.cls},
                   {"dfl_loss", progress.losses.dfl},
                   {"loss_count", static_cast<double>(progress.losses.count)},
                   {"skipped_steps", static_cast<double>(progress.skipped_steps)},
                   {"rollbacks", progress.rollbacks},
                   {"parts", progress.parts},
                   {"ema_updates", static_cast<double>(setup.ema->updates())},
                   {"best_epoch", setup.early_stop.best_epoch()},
                   {"best_fitness", setup.early_stop.best_fitness()},
                   {"best_precision", best.precision},
                   {"best_recall", best.recall},
                   {"best_map50", best.map50},
                   {"best_map5095", best.map5095},
                   {"class_count", setup.identity.spec.class_count},
                   {"class_width", setup.identity.spec.class_width}};
  const DataIdentity& data = setup.identity.data;
  state.strings = {{"scale", std::string(1, setup.identity.spec.scale)},
                   {"optimizer", setup.identity.optimizer},
                   {"names", nlohmann::json(data.names).dump()}};
  state.tensors[kTrainMarks] = ToTensor(data.train);
  state.tensors[kValMarks] = ToTensor(data.val);
  return state;
}

absl::Status CheckData(const TrainState& state, const DataIdentity& now) {
  const std::string difference = Difference(DataOf(state), now);
  if (difference.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "cannot resume: the data set is another one than this run was saved with: ", difference,
      "; put it back, or train on from the run's weights (model=.../last.pt, without resume)"));
}

int64_t BatchOf(const TrainState& state) { return Whole(state, "batch"); }

void RestoreTensors(const TrainState& state, TrainingSetup& setup) {
  CopyState(Part(state, kModel), *setup.model);
  CopyState(Part(state, kEma), setup.ema->model());
  setup.ema->set_updates(Whole(state, "ema_updates"));
  setup.optimizer->LoadState(Part(state, kOptimizer));
}

absl::Status RestoreState(const TrainState& state, Group& group, TrainingSetup& setup,
                          Observer& observer) {
  const Identity& identity = setup.identity;
  YOKE_RETURN_IF_ERROR(CheckData(state, identity.data));
  const ModelSpec& spec = identity.spec;
  const std::string scale = TextOf(state, "scale");
  const auto classes = static_cast<int>(NumberOf(state, "class_count")),
             width = static_cast<int>(NumberOf(state, "class_width"));
  if (scale != std::string(1, spec.scale) || classes != spec.class_count ||
      width != spec.class_width) {
    const auto words = [](const std::string& name, int count, int channels) {
      return absl::StrCat("yolov8", name, " with ", count, " classes and class branches of ",
                          channels, " channels");
    };
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot resume: the state is of ", words(scale, classes, width), ", this training of ",
        words(std::string(1, spec.scale), spec.class_count, spec.class_width),
        "; give the model that it was started with"));
  }
  RestoreTensors(state, setup);
  setup.scaler->LoadState(Part(state, kScaler));
  if (TextOf(state, "optimizer") != identity.optimizer) {
    setup.optimizer->Reset();
    observer.OnWarning(absl::StrCat("resuming with ", identity.optimizer, " what ",
                                    TextOf(state, "optimizer"),
                                    " began: the optimizer starts afresh"));
  }
  Progress& progress = setup.progress;
  progress.epochs_done = static_cast<int>(NumberOf(state, "epochs_done"));
  progress.iteration = Whole(state, "iteration");
  progress.last_step = Whole(state, "last_step");
  progress.seconds = NumberOf(state, "seconds");
  progress.skipped_steps = Whole(state, "skipped_steps");
  progress.rollbacks = static_cast<int>(NumberOf(state, "rollbacks"));
  progress.parts = std::max(static_cast<int>(NumberOf(state, "parts")), 1);
  progress.best_metrics = {NumberOf(state, "best_precision"), NumberOf(state, "best_recall"),
                           NumberOf(state, "best_map50"), NumberOf(state, "best_map5095"),
                           NumberOf(state, "best_fitness")};
  setup.early_stop.Restore(static_cast<int>(NumberOf(state, "best_epoch")),
                           NumberOf(state, "best_fitness"));
  const int64_t images = Whole(state, "position_images");
  if (images % setup.config.batch != 0) {
    observer.OnWarning(absl::StrCat("batch=", setup.config.batch,
                                    " does not divide what was trained of epoch ",
                                    progress.epochs_done + 1, "; that epoch starts over"));
    progress.iteration = progress.epochs_done * setup.schedule->config().iterations;
    progress.last_step = progress.iteration - 1;
    return absl::OkStatus();
  }
  progress.position = images / setup.config.batch;
  progress.losses = {NumberOf(state, "box_loss"), NumberOf(state, "cls_loss"),
                     NumberOf(state, "dfl_loss"), Whole(state, "loss_count")};
  // One rank takes over what all had accumulated.
  if (group.rank() != 0) return absl::OkStatus();
  const std::map<std::string, at::Tensor> gradients = Part(state, kGradient);
  for (const FlatEntry& entry : setup.flat->trained()) {
    const auto found = gradients.find(entry.name);
    if (found != gradients.end() && found->second.sizes() == entry.tensor.sizes()) {
      entry.tensor.mutable_grad().copy_(found->second);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TrainState> LoadResumable(const TrainConfig& config, std::string* warning) {
  const std::string from = RunFolderOf(config.resume);
  absl::StatusOr<TrainState> state = LoadState(from + "/checkpoints", warning);
  if (absl::IsNotFound(state.status())) {
    return absl::NotFoundError(absl::StrCat("resume=", config.resume, ": no training state in ",
                                            from,
                                            "/checkpoints; to train on from its weights, "
                                            "give them as model= instead"));
  }
  YOKE_RETURN_IF_ERROR(state.status());
  const auto done = static_cast<int>(state->numbers["epochs_done"]);
  // A further attempt at the same run may find it all but finished, which is no mistake.
  std::error_code none;
  if (done >= config.epochs && config.time_hours == 0 &&
      !std::filesystem::equivalent(from, config.run_dir, none)) {
    return absl::InvalidArgumentError(
        absl::StrCat("resume=", config.resume, ": it has trained all of its ", done,
                     " epochs; give epochs= more than that to train on"));
  }
  return state;
}

}  // namespace yoke::engine
