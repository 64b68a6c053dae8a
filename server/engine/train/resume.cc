#include "server/engine/train/resume.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace yoke::engine {
namespace {

constexpr char kModel[] = "model:", kEma[] = "ema:", kOptimizer[] = "optimizer:",
               kTrainMarks[] = "data:train", kValMarks[] = "data:val";

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
                   {"class_count", identity.spec.class_count},
                   {"class_width", identity.spec.class_width}};
  state.strings = {{"scale", std::string(1, identity.spec.scale)},
                   {"optimizer", identity.optimizer},
                   {"names", nlohmann::json(identity.data.names).dump()}};
  state.tensors[kTrainMarks] = ToTensor(identity.data.train);
  state.tensors[kValMarks] = ToTensor(identity.data.val);
  return state;
}

absl::Status CheckData(const TrainState& state, const DataIdentity& now) {
  const std::string difference = Difference(DataOf(state), now);
  if (difference.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "cannot resume: the data set is another one than this run was saved with: ", difference,
      "; put it back, or train on from the run's weights (model=.../last.pt, without resume)"));
}

absl::StatusOr<Progress> RestoreState(const TrainState& state, const Identity& identity,
                                      EarlyStop& stop, DetectionModel& model, Ema& ema,
                                      Optimizer& optimizer, Observer& observer) {
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
