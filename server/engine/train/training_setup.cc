#include "server/engine/train/training_setup.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>

#include "ATen/Context.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/cuda/cuda_module.h"
#include "server/engine/cuda/open_jpeg_decoder.h"
#include "server/engine/data/image_arena.h"
#include "server/engine/eval/batch_tensors.h"
#include "server/engine/eval/max_det.h"
#include "server/engine/resume_path.h"
#include "server/engine/train/auto_batch.h"
#include "server/engine/train/group_statistics.h"
#include "server/engine/train/resume.h"
#include "torch/utils.h"

namespace yoke::engine {
namespace {

// Scale of the loss that the pass in float16 begins with.
constexpr double kSampleScaleMax = 65536;
// Images of the pass that compares precisions: enough to have objects, few enough to be quick.
constexpr int64_t kSampleImagesOnCpu = 2, kSampleImagesOnDevice = 16;

absl::Status NoModel(const std::string& model) {
  return absl::InvalidArgumentError(absl::StrCat(
      "model=", model, " is no model; give weights (.pt) or yolov8n.yaml (n s m l x)"));
}

// The network for the data set's classes: fresh, or with the weights that fit.
absl::StatusOr<std::shared_ptr<DetectionModel>> MakeModel(const TrainConfig& config,
                                                          const std::vector<std::string>& names,
                                                          Observer& observer) {
  torch::manual_seed(config.seed + 1);  // the same fresh weights on every rank, and each time
  const auto class_count = static_cast<int>(names.size());
  ModelSpec spec{.scale = ScaleFromName(std::filesystem::path(config.model).filename().string()),
                 .class_count = class_count};
  const FreshModel fresh{config.recipe.box_bias, config.recipe.fresh_var};
  if (!absl::EndsWith(config.model, ".pt")) {
    if (spec.scale == '\0') return NoModel(config.model);
    return DetectionModel::Create(spec, fresh);
  }
  YOKE_ASSIGN_OR_RETURN(const Weights weights, ReadWeights(config.model));
  const bool by_name = config.pretrained && config.cls_remap;
  ClassTransfer classes;
  if (by_name) {
    absl::StatusOr<ClassTransfer> matched = MatchClasses(weights.names, names);
    if (!matched.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("model=", config.model, ": ", matched.status().message()));
    }
    classes = *std::move(matched);
    for (const std::string& line : DescribeTransfer(classes, weights.names, names))
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

LoaderOptions OptionsOf(const TrainConfig& config, const Group& group) {
  LoaderOptions options;
  options.batch = static_cast<int>(std::max<int64_t>(config.batch / group.world_size(), 1));
  options.imgsz = config.imgsz;
  options.threads = std::max(config.workers, 1);
  options.rank = group.rank();
  options.world_size = group.world_size();
  options.seed = config.seed;
  options.rect = config.rect;
  return options;
}

// Null: none is wanted, or none can be had, which is told.
std::shared_ptr<ImageArena> OpenCache(const TrainConfig& config, const Split& split, bool by_device,
                                      Observer& observer) {
  constexpr double kGib = 1 << 30;
  if (config.cache == "off") return nullptr;
  const ArenaKind kind = config.cache == "ram" ? ArenaKind::kMemory : ArenaKind::kDisk;
  const std::string folder = ArenaFolder(kind, config.cache_dir);
  const absl::StatusOr<std::shared_ptr<ImageArena>> cache =
      ImageArena::Open(kind, folder, split, config.imgsz, ArenaBudget(kind, folder), by_device);
  if (!cache.ok()) {
    observer.OnWarning(
        absl::StrCat("cache=", config.cache,
                     ": none, images are decoded each time: ", cache.status().message()));
    return nullptr;
  }
  const double room = static_cast<double>((*cache)->capacity());
  const double needed = static_cast<double>((*cache)->needed());
  if (room < needed) {
    observer.OnWarning(absl::StrFormat(
        "cache=%s: room for %.1f of %.1f GB in %s; the other images are decoded each time",
        config.cache, room / kGib, needed / kGib, folder));
  } else {
    observer.OnLog(absl::StrFormat("image cache: %.1f GB for %d images in %s, shared by all jobs",
                                   needed / kGib, split.samples.size(), folder));
  }
  return *cache;
}

void MakeLoaders(at::Device device, const Group& group, TrainingSetup& setup, Observer& observer) {
  LoaderOptions options = OptionsOf(setup.config, group);
  options.jpegs = OpenJpegDecoder(setup.config.nvjpeg, device, observer);
  const bool by_device = options.jpegs != nullptr;
  options.cache = OpenCache(setup.config, setup.data.train, by_device, observer);
  setup.train_loader = MakeTrainLoader(setup.data.train, setup.config.augment, options,
                                       CloseMosaicFrom(setup.config));
  if (setup.data.val.samples.empty()) return;
  options.batch *= 2;  // no gradients to hold
  // Images that are looked at once are not kept.
  options.cache =
      setup.config.val ? OpenCache(setup.config, setup.data.val, by_device, observer) : nullptr;
  setup.val_loader = MakeValLoader(setup.data.val, options, /*rect=*/true);
}

// (K) float32 with mean 1: each class's share of the boxes to the power -cls_pw; a class without
// boxes has the mean of the others. Undefined where all count the same.
at::Tensor ClassWeights(const TrainConfig& config, const Split& train, int class_count) {
  if (config.cls_pw == 0) return {};
  std::vector<double> boxes(static_cast<size_t>(class_count), 0);
  for (const Sample& sample : train.samples) {
    for (const Label& label : sample.labels) ++boxes[static_cast<size_t>(label.class_id)];
  }
  double sum = 0, present = 0;
  for (double& count : boxes) {
    if (count == 0) continue;
    count = std::pow(1 / count, config.cls_pw);
    sum += count;
    ++present;
  }
  if (present == 0) return {};
  for (double& weight : boxes) {
    if (weight == 0) weight = sum / present;
  }
  const at::Tensor weights = at::tensor(boxes, at::kDouble);
  return (weights / weights.mean()).to(at::kFloat);
}

OptimizerConfig DecideOptimizer(const TrainingSetup& setup) {
  const TrainConfig& config = setup.config;
  OptimizerConfig wanted{config.optimizer, config.lr0, config.momentum, config.weight_decay,
                         config.warmup_bias_lr};
  wanted = ResolveOptimizer(wanted, config.recipe.auto_long, setup.identity.spec.class_count,
                            static_cast<int64_t>(setup.data.train.samples.size()), config.batch,
                            config.nbs, config.epochs, config.user_set);
  const double nominal = std::max(
      std::nearbyint(static_cast<double>(config.nbs) / static_cast<double>(config.batch)), 1.0);
  wanted.weight_decay *= static_cast<double>(config.batch) * nominal / config.nbs;
  return wanted;
}

void MakeSchedule(const OptimizerConfig& optimizer, TrainingSetup& setup) {
  const TrainConfig& config = setup.config;
  ScheduleConfig schedule;
  schedule.epochs = config.epochs;
  schedule.iterations = setup.train_loader->batches_per_epoch();
  schedule.warmup_epochs = config.warmup_epochs;
  schedule.warmup_momentum = config.warmup_momentum;
  schedule.warmup_bias_lr = optimizer.warmup_bias_lr;
  schedule.lr0 = optimizer.lr0;
  schedule.lrf = config.lrf;
  schedule.momentum = optimizer.momentum;
  schedule.cos_lr = config.cos_lr;
  schedule.nbs = config.nbs;
  schedule.batch = config.batch;
  schedule.warmup_floor = config.recipe.warmup_floor;
  schedule.warmup_cap = config.recipe.warmup_cap;
  schedule.lr_lag = config.recipe.lr_lag;
  schedule.accumulate_cap = config.recipe.accumulate_cap;
  setup.schedule = std::make_unique<Schedule>(schedule);
}

// From here on the model's entries lie in setup.flat.
absl::Status MakeOptimizer(at::Device device, TrainingSetup& setup, Observer& observer) {
  const OptimizerConfig wanted = DecideOptimizer(setup);
  setup.identity.optimizer = wanted.kind;
  observer.OnLog(
      absl::StrFormat("optimizer: %s(lr=%g, momentum=%g, weight_decay=%g)%s", wanted.kind,
                      wanted.lr0, wanted.momentum, wanted.weight_decay,
                      setup.config.optimizer == "auto" ? ", chosen by optimizer=auto" : ""));
  setup.flat = Flatten(*setup.model, wanted.kind);
  if (setup.flat->trained().empty()) {
    return absl::InvalidArgumentError("freeze leaves nothing to train; freeze fewer layers");
  }
  MakeSchedule(wanted, setup);
  YOKE_ASSIGN_OR_RETURN(setup.optimizer, Optimizer::Create(wanted, *setup.flat));
  YOKE_ASSIGN_OR_RETURN(setup.ema, Ema::Create(*setup.model, *setup.flat));
  return absl::OkStatus();
}

// A pass over a few of the user's images, without consequences.
absl::StatusOr<std::function<PassSample(Precision)>> MakeSampler(at::Device device,
                                                                 TrainingSetup& setup) {
  setup.train_loader->StartEpoch(0);
  YOKE_ASSIGN_OR_RETURN(std::unique_ptr<Batch> batch, setup.train_loader->Next());
  if (batch == nullptr) return absl::InternalError("a data set without a batch");
  const int64_t count =
      std::min<int64_t>(batch->count, device.is_cpu() ? kSampleImagesOnCpu : kSampleImagesOnDevice);
  const at::Tensor images = ImagesOf(*batch, device).narrow(0, 0, count);
  const Targets all = TargetsOf(*batch, device);
  const Targets targets{all.class_BM.narrow(0, 0, count), all.boxes_xywh_BM4.narrow(0, 0, count)};
  setup.train_loader->Recycle(std::move(batch));
  return [=, &setup](Precision precision) {
    const at::Tensor buffers = setup.flat->buffers().clone();
    setup.model->train();
    HeadMaps maps;
    {
      const Autocast autocast(device, precision);
      maps = setup.model->Forward(images);
    }
    const LossOutput loss = setup.loss->Compute(maps, targets);
    PassSample sample{loss.total.item<double>(), {}};
    // In float16 small gradients need a scale, and it must not be too large: training finds it,
    // too.
    double scale = precision == at::kHalf ? kSampleScaleMax : 1;
    for (; !sample.gradients.defined(); scale /= 16) {
      (loss.total * scale).backward({}, /*retain_graph=*/scale > 1);
      const at::NoGradGuard no_gradients;
      const at::Tensor gradients = setup.flat->gradients() / scale;
      setup.flat->ZeroGradients();
      const bool finite = at::isfinite(gradients).all().item<bool>();
      if (finite || scale <= 1) sample.gradients = gradients;
    }
    const at::NoGradGuard no_gradients;
    setup.flat->buffers().copy_(buffers);
    return sample;
  };
}

absl::Status DecidePrecision(at::Device device, TrainingSetup& setup, Group& group,
                             Observer& observer) {
  std::function<PassSample(Precision)> sample;
  if (setup.config.amp == "auto") {
    YOKE_ASSIGN_OR_RETURN(sample, MakeSampler(device, setup));
  }
  YOKE_ASSIGN_OR_RETURN(const Precision mine,
                        ResolveAmp(setup.config.amp, device, sample, observer));
  // Every rank saw other images; what one of them cannot do, none does.
  YOKE_ASSIGN_OR_RETURN(const bool full, group.AnyTrue(!mine.has_value()));
  setup.precision = full ? Precision() : mine;
  setup.scaler = std::make_unique<GradScaler>(setup.precision == at::kHalf, device);
  return absl::OkStatus();
}

absl::Status MakeGraphs(at::Device device, const Group& group, TrainingSetup& setup,
                        Observer& observer) {
  if (!setup.config.cuda_graphs) return absl::OkStatus();
  if (!device.is_cuda() || group.world_size() > 1) {
    observer.OnWarning("cuda_graphs=True has no effect here; it is for trainings on a single GPU");
    return absl::OkStatus();
  }
  YOKE_ASSIGN_OR_RETURN(CudaModule * cuda, CudaModule::Load());
  setup.make_graph = cuda->StepGraphs();
  return absl::OkStatus();
}

// What another run has left so far: its weights, and what people look at. A file that is missing
// there, as best.pt is where a run was cancelled early, is missing here.
void TakeOver(const std::string& from, const std::string& to) {
  namespace fs = std::filesystem;
  std::vector<std::string> names = {"weights/best.pt", "weights/last.pt", "results.csv"};
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(from, none)) {
    const std::string name = entry.path().filename().string();
    if (name == "labels.jpg" || absl::StartsWith(name, "train_batch") ||
        absl::StartsWith(name, "events.out.tfevents.")) {
      names.push_back(name);
    }
  }
  for (const std::string& name : names) {
    fs::copy_file(fs::path(from) / name, fs::path(to) / name, fs::copy_options::overwrite_existing,
                  none);
  }
}

// Continues another run, or this one after a restart.
absl::Status Resume(const TrainState& state, bool writes, Group& group, TrainingSetup& setup,
                    Observer& observer) {
  namespace fs = std::filesystem;
  const TrainConfig& config = setup.config;
  const std::string from = RunFolderOf(config.resume);
  YOKE_RETURN_IF_ERROR(RestoreState(state, group, setup, observer));
  const int done = setup.progress.epochs_done;
  setup.results.Continue(from, done);
  if (writes && !fs::equivalent(from, config.run_dir)) TakeOver(from, config.run_dir);
  observer.OnLog(absl::StrCat("resuming ", from, " at epoch ", done + 1,
                              setup.progress.position > 0
                                  ? absl::StrCat(", iteration ", setup.progress.position + 1)
                                  : ""));
  return absl::OkStatus();
}

absl::Status MakeExchanges(Group& group, TrainingSetup& setup) {
  std::vector<GradientPlace> places;
  for (const FlatEntry& entry : setup.flat->trained())
    places.push_back({entry.tensor, entry.offset});
  YOKE_ASSIGN_OR_RETURN(setup.exchange,
                        MakeGradientExchange(setup.flat->gradients(), places, group));
  if (!setup.config.sync_bn || group.world_size() == 1) return absl::OkStatus();
  setup.statistics = std::make_unique<GroupStatistics>(group);
  setup.model->SynchronizeStatistics(setup.statistics.get());
  return absl::OkStatus();
}

}  // namespace

int CloseMosaicFrom(const TrainConfig& config) {
  const bool closes = config.close_mosaic > 0 &&
                      (config.recipe.close_short || config.epochs >= config.close_mosaic);
  return closes ? std::max(config.epochs - config.close_mosaic, 0) : -1;
}

absl::Status ResetWeights(TrainingSetup& setup, Group& group, Observer& observer) {
  const at::NoGradGuard no_gradients;
  YOKE_ASSIGN_OR_RETURN(const std::shared_ptr<DetectionModel> model,
                        MakeModel(setup.config, setup.data.names, observer));
  CopyState(StateOf(*model), *setup.model);
  at::Tensor values = setup.flat->values();
  YOKE_RETURN_IF_ERROR(group.Broadcast(values, 0));
  setup.ema->Restart();
  setup.optimizer->Reset();
  return absl::OkStatus();
}

void SetEpochs(int epochs, TrainingSetup& setup) {
  setup.config.epochs = epochs;
  ScheduleConfig schedule = setup.schedule->config();
  schedule.epochs = epochs;
  setup.schedule = std::make_unique<Schedule>(schedule);
  setup.train_loader->CloseMosaicFrom(CloseMosaicFrom(setup.config));
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
  // Else every new tensor is first filled with NaN: a tenth of a step, for none is read unwritten.
  at::globalContext().setDeterministicFillUninitializedMemory(false);

  TrainingSetup setup{.config = config,
                      .early_stop = EarlyStop(config.patience, config.recipe.best_on_tie),
                      .results = ResultsFile(config.run_dir),
                      .tensorboard = TensorBoardFile(config.run_dir)};
  YOKE_ASSIGN_OR_RETURN(setup.data, LoadTrainingData(config, observer));
  if (config.recipe.max_det_auto) {
    std::string warning;
    setup.config.max_det = MaxDetFor(config.max_det, MostObjects(setup.data.val), &warning);
    if (!warning.empty()) observer.OnWarning(warning);
  }
  observer.OnPhase("load");
  const auto class_count = static_cast<int>(setup.data.names.size());
  YOKE_ASSIGN_OR_RETURN(setup.model, MakeModel(config, setup.data.names, observer));
  setup.model->FreezeLayers(config.freeze_layers, config.recipe.freeze_bn);
  setup.model->to(device);
  setup.identity.spec = setup.model->spec();
  setup.identity.data = IdentityOf(setup.data.names, setup.data.train, setup.data.val);
  at::Tensor class_weight = ClassWeights(config, setup.data.train, class_count);
  if (class_weight.defined()) class_weight = class_weight.to(device);
  setup.loss = std::make_unique<DetectionLoss>(
      LossConfig{.class_count = class_count,
                 .box_gain = config.box,
                 .cls_gain = config.cls,
                 .dfl_gain = config.dfl,
                 .tal_floor = static_cast<double>(config.recipe.tal_floor),
                 .class_weight_K = class_weight});
  std::optional<TrainState> state;  // to go on from
  if (!config.resume.empty()) {
    std::string damage;
    YOKE_ASSIGN_OR_RETURN(state, LoadResumable(config, &damage));
    if (!damage.empty()) observer.OnWarning(damage);
  }
  if (config.batch < 0 && state.has_value()) {
    // That of the run it continues, as far as the ranks can share it evenly.
    const int64_t world = group.world_size();
    setup.config.batch = std::max(BatchOf(*state) / world, int64_t{1}) * world;
  } else if (config.batch < 0) {
    YOKE_ASSIGN_OR_RETURN(setup.config.batch,
                          FindBatch(config, setup.identity.spec, setup.data.train, *setup.loss,
                                    device, group, observer));
  }
  MakeLoaders(device, group, setup, observer);
  YOKE_RETURN_IF_ERROR(MakeOptimizer(device, setup, observer));
  at::Tensor values = setup.flat->values();
  YOKE_RETURN_IF_ERROR(group.Broadcast(values, 0));
  setup.ema->Restart();
  YOKE_RETURN_IF_ERROR(DecidePrecision(device, setup, group, observer));
  YOKE_RETURN_IF_ERROR(MakeGraphs(device, group, setup, observer));
  if (state.has_value()) YOKE_RETURN_IF_ERROR(Resume(*state, writes, group, setup, observer));
  YOKE_RETURN_IF_ERROR(MakeExchanges(group, setup));
  return setup;
}

}  // namespace yoke::engine
