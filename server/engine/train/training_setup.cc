#include "server/engine/train/training_setup.h"

#include <algorithm>
#include <filesystem>
#include <thread>

#include "ATen/Context.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/resume_path.h"
#include "server/engine/train/autocast.h"
#include "torch/utils.h"

namespace yoke::engine {
namespace {

// The network for the data set's classes: fresh, or with the weights that fit.
absl::StatusOr<std::shared_ptr<DetectionModel>> MakeModel(const TrainConfig& config,
                                                          const std::vector<std::string>& names,
                                                          Observer& observer) {
  const auto class_count = static_cast<int>(names.size());
  ModelSpec spec{.scale = ScaleFromName(std::filesystem::path(config.model).filename().string()),
                 .class_count = class_count};
  const FreshModel fresh{config.recipe.box_bias, config.recipe.fresh_var};
  if (!absl::EndsWith(config.model, ".pt")) {
    if (spec.scale == '\0') {
      return absl::InvalidArgumentError(absl::StrCat(
          "model=", config.model, " is no model; give weights (.pt) or yolov8n.yaml (n s m l x)"));
    }
    return DetectionModel::Create(spec, fresh);
  }
  YOKE_ASSIGN_OR_RETURN(const Weights weights, ReadWeights(config.model));
  const bool by_name = config.pretrained && config.cls_remap;
  ClassMap classes;
  if (by_name) {
    absl::StatusOr<ClassMap> matched = MatchClasses(weights.names, names);
    if (!matched.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("model=", config.model, ": ", matched.status().message()));
    }
    classes = *std::move(matched);
    for (const std::string& line : DescribeClassMap(classes, weights.names, names))
      observer.OnLog(line);
  }
  YOKE_ASSIGN_OR_RETURN(std::shared_ptr<DetectionModel> model,
                        DetectionModel::Create(SpecFor(weights, class_count, by_name), fresh));
  if (config.pretrained) {
    const TransferReport report = Transfer(weights, *model, classes);
    observer.OnLog(absl::StrCat("transferred ", report.copied, " of ", report.total,
                                " tensors from ", config.model));
  }
  return model;
}

// One tensor of all `tensors`' values, and back.
at::Tensor Flatten(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> flat;
  for (const at::Tensor& tensor : tensors) flat.push_back(tensor.detach().reshape({-1}));
  return at::cat(flat);
}
void Unflatten(const at::Tensor& flat, const std::vector<at::Tensor>& tensors) {
  const at::NoGradGuard no_gradients;
  int64_t at = 0;
  for (at::Tensor tensor : tensors) {
    tensor.copy_(flat.narrow(0, at, tensor.numel()).view(tensor.sizes()));
    at += tensor.numel();
  }
}

absl::Status BroadcastAll(const std::vector<at::Tensor>& tensors, Group& group) {
  if (group.world_size() == 1) return absl::OkStatus();
  at::Tensor flat = Flatten(tensors);
  YOKE_RETURN_IF_ERROR(group.Broadcast(flat, 0));
  Unflatten(flat, tensors);
  return absl::OkStatus();
}

void MakeLoaders(const TrainConfig& config, const Group& group, TrainingSetup& setup) {
  LoaderOptions options;
  options.batch = static_cast<int>(std::max<int64_t>(config.batch / group.world_size(), 1));
  options.imgsz = config.imgsz;
  options.threads = std::max(config.workers, 1);
  options.rank = group.rank();
  options.world_size = group.world_size();
  options.seed = config.seed;
  options.cache_ram = config.cache == "ram";
  int close_from = -1;
  if (config.close_mosaic > 0 && (config.recipe.close_short || config.epochs >= config.close_mosaic)) {
    close_from = std::max(config.epochs - config.close_mosaic, 0);
  }
  setup.train_loader = MakeTrainLoader(setup.data.train, config.augment, options, close_from);
  if (!config.val) return;
  options.batch *= 2;  // no gradients to hold
  setup.val_loader = MakeValLoader(setup.data.val, options, /*rect=*/true);
}

absl::Status MakeOptimizer(const TrainConfig& config, TrainingSetup& setup, Observer& observer) {
  OptimizerConfig wanted{config.optimizer, config.lr0, config.momentum, config.weight_decay,
                         config.warmup_bias_lr};
  wanted = ResolveOptimizer(wanted, setup.identity.spec.class_count,
                            static_cast<int64_t>(setup.data.train.samples.size()), config.batch,
                            config.nbs, config.epochs, config.user_set);
  ScheduleConfig schedule;
  schedule.epochs = config.epochs;
  schedule.iterations = setup.train_loader->batches_per_epoch();
  schedule.warmup_epochs = config.warmup_epochs;
  schedule.warmup_momentum = config.warmup_momentum;
  schedule.warmup_bias_lr = wanted.warmup_bias_lr;
  schedule.lr0 = wanted.lr0;
  schedule.lrf = config.lrf;
  schedule.momentum = wanted.momentum;
  schedule.cos_lr = config.cos_lr;
  schedule.nbs = config.nbs;
  schedule.batch = config.batch;
  schedule.warmup_floor = config.recipe.warmup_floor;
  schedule.warmup_cap = config.recipe.warmup_cap;
  schedule.lr_lag = config.recipe.lr_lag;
  schedule.accumulate_cap = config.recipe.accumulate_cap;
  setup.schedule = std::make_unique<Schedule>(schedule);
  const double nominal = std::max(
      std::nearbyint(static_cast<double>(config.nbs) / static_cast<double>(config.batch)), 1.0);
  wanted.weight_decay *= static_cast<double>(config.batch) * nominal / config.nbs;
  setup.identity.optimizer = wanted.kind;
  observer.OnLog(absl::StrFormat("optimizer: %s(lr=%g, momentum=%g, weight_decay=%g)%s",
                                 wanted.kind, wanted.lr0, wanted.momentum, wanted.weight_decay,
                                 config.optimizer == "auto" ? ", chosen by optimizer=auto" : ""));
  YOKE_ASSIGN_OR_RETURN(setup.optimizer, Optimizer::Create(wanted, *setup.model));
  return absl::OkStatus();
}

// Continues another run, or this one after a restart.
absl::Status Resume(const TrainConfig& config, bool writes, TrainingSetup& setup,
                    Observer& observer) {
  namespace fs = std::filesystem;
  const std::string from = RunFolderOf(config.resume);
  std::string warning;
  YOKE_ASSIGN_OR_RETURN(const TrainState state, LoadResumable(config, &warning));
  if (!warning.empty()) observer.OnWarning(warning);
  YOKE_ASSIGN_OR_RETURN(setup.progress,
                        RestoreState(state, setup.identity, setup.early_stop, *setup.model,
                                     *setup.ema, *setup.optimizer, observer));
  const int done = setup.progress.epochs_done;
  setup.results.Continue(from, done);
  if (writes && !fs::equivalent(from, config.run_dir)) {
    for (const char* name : {"weights/best.pt", "weights/last.pt", "results.csv"}) {
      std::error_code none;  // a run cancelled early has no best.pt
      fs::copy_file(fs::path(from) / name, fs::path(config.run_dir) / name,
                    fs::copy_options::overwrite_existing, none);
    }
  }
  observer.OnLog(absl::StrCat("resuming ", from, " at epoch ", done + 1));
  return absl::OkStatus();
}

}  // namespace

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
  if (done >= config.epochs && !std::filesystem::equivalent(from, config.run_dir, none)) {
    return absl::InvalidArgumentError(
        absl::StrCat("resume=", config.resume, ": it has trained all of its ", done,
                     " epochs; give epochs= more than that to train on"));
  }
  return state;
}

absl::Status BroadcastBuffers(DetectionModel& model, Group& group) {
  std::vector<at::Tensor> buffers;
  for (const at::Tensor& buffer : model.buffers()) {
    if (buffer.is_floating_point()) buffers.push_back(buffer);
  }
  return BroadcastAll(buffers, group);
}

absl::StatusOr<TrainingSetup> SetUpTraining(const TrainConfig& config, at::Device device,
                                            Group& group, Observer& told) {
  const bool writes = group.rank() == 0;
  // All ranks would say the same.
  Observer silent;
  Observer& observer = writes ? told : silent;
  if (writes) YOKE_RETURN_IF_ERROR(MakeRunFolder(config.run_dir));
  at::globalContext().setDeterministicCuDNN(config.deterministic);
  at::globalContext().setDeterministicAlgorithms(config.deterministic, /*warn_only=*/true);
  torch::manual_seed(config.seed + 1);  // the same fresh weights on every rank

  TrainingSetup setup{.early_stop = EarlyStop(config.patience, config.recipe.best_on_tie),
                      .results = ResultsFile(config.run_dir),
                      .tensorboard = TensorBoardFile(config.run_dir)};
  YOKE_ASSIGN_OR_RETURN(setup.amp, ResolveAmp(config.amp, device));
  YOKE_ASSIGN_OR_RETURN(setup.data, LoadTrainingData(config, observer));
  observer.OnPhase("load");
  const auto class_count = static_cast<int>(setup.data.names.size());
  YOKE_ASSIGN_OR_RETURN(setup.model, MakeModel(config, setup.data.names, observer));
  setup.model->FreezeLayers(config.freeze_layers, config.recipe.freeze_bn);
  setup.model->to(device);
  setup.identity.spec = setup.model->spec();
  setup.identity.data = IdentityOf(setup.data.names, setup.data.train, setup.data.val);
  MakeLoaders(config, group, setup);
  setup.loss = std::make_unique<DetectionLoss>(LossConfig{.class_count = class_count,
                                                          .box_gain = config.box,
                                                          .cls_gain = config.cls,
                                                          .dfl_gain = config.dfl,
                                                          .tal_floor = static_cast<double>(config.recipe.tal_floor)});
  YOKE_RETURN_IF_ERROR(MakeOptimizer(config, setup, observer));
  YOKE_ASSIGN_OR_RETURN(setup.ema, Ema::Create(*setup.model, device));
  if (!config.resume.empty()) {
    YOKE_RETURN_IF_ERROR(Resume(config, writes, setup, observer));
  } else {
    YOKE_RETURN_IF_ERROR(BroadcastAll(setup.model->parameters(), group));
    YOKE_RETURN_IF_ERROR(BroadcastBuffers(*setup.model, group));
    CopyState(StateOf(*setup.model), setup.ema->model());
  }
  std::vector<at::Tensor> trained;
  for (const at::Tensor& parameter : setup.model->parameters()) {
    if (parameter.requires_grad()) trained.push_back(parameter);
  }
  YOKE_ASSIGN_OR_RETURN(setup.reducer, MakeGradientReducer(trained, group));
  return setup;
}

}  // namespace yoke::engine
