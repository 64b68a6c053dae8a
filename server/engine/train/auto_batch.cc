#include "server/engine/train/auto_batch.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "c10/core/CachingDeviceAllocator.h"
#include "common/base/status_macros.h"
#include "server/engine/data/file_bytes.h"
#include "server/engine/train/ema.h"
#include "server/engine/train/flat_model.h"
#include "server/engine/train/grad_scaler.h"
#include "server/engine/train/memory_gauge.h"
#include "server/engine/train/optimizer.h"
#include "server/engine/train/out_of_memory.h"
#include "server/engine/train/precision.h"

namespace yoke::engine {
namespace {

constexpr int64_t kImagesProbedMax = 32;
constexpr double kProbedShare = 0.5;  // of the budget: larger batches are not tried
constexpr double kGib = 1 << 30;
constexpr char kProbedWith[] = "AdamW";  // two moments: no optimiser keeps more

int64_t LargestSide(const TrainConfig& config) {
  return formats::LargestSide(config.imgsz, config.multi_scale);
}

int TilesOf(const AugmentConfig& augment) {
  const int tiles = augment.mosaic > 0 ? augment.mosaic_tiles : 1;
  return augment.mixup > 0 ? 2 * tiles : tiles;
}

// A training of its own, as large in memory as the one to come.
class Probe {
 public:
  static absl::StatusOr<std::unique_ptr<Probe>> Create(const TrainConfig& config,
                                                       const ModelSpec& spec, const Split& train,
                                                       const DetectionLoss& loss,
                                                       at::Device device) {
    auto probe = std::unique_ptr<Probe>(new Probe(config, train, loss, device));
    YOKE_ASSIGN_OR_RETURN(probe->precision_, PrecisionOf(config.amp, device));
    YOKE_ASSIGN_OR_RETURN(probe->model_, DetectionModel::Create(spec));
    probe->model_->FreezeLayers(config.freeze_layers, config.recipe.freeze_bn);
    probe->model_->to(device);
    probe->flat_ = Flatten(*probe->model_, kProbedWith);
    YOKE_ASSIGN_OR_RETURN(probe->optimizer_,
                          Optimizer::Create({.kind = kProbedWith}, *probe->flat_));
    YOKE_ASSIGN_OR_RETURN(probe->ema_, Ema::Create(*probe->model_, *probe->flat_));
    probe->scaler_ = std::make_unique<GradScaler>(probe->precision_ == at::kHalf, device);
    return probe;
  }

  // Throws when memory runs out.
  void Step(int64_t images) {
    const int64_t side = LargestSide(config_);
    const at::Tensor pixels =
        at::rand({images, 3, side, side}, at::TensorOptions(at::kFloat).device(device_))
            .contiguous(at::MemoryFormat::ChannelsLast);
    const Targets on_cpu = DensestTargets(train_, TilesOf(config_.augment), images);
    const Targets targets = {on_cpu.class_BM.to(device_), on_cpu.boxes_xywh_BM4.to(device_)};
    model_->train();
    HeadMaps maps;
    {
      const Autocast autocast(device_, precision_);
      maps = model_->Forward(pixels);
    }
    scaler_->Scaled(loss_.Compute(maps, targets).total).backward();
    const at::NoGradGuard no_gradients;
    const StepScale scale = scaler_->Examine(flat_->gradients(), 10);
    optimizer_->Step({}, scale);
    flat_->ZeroGradients();
    ema_->Update();
    scale.found_inf.item<float>();  // a device has done it all when this is known
  }

 private:
  Probe(const TrainConfig& config, const Split& train, const DetectionLoss& loss, at::Device device)
      : config_(config), train_(train), loss_(loss), device_(device) {}

  const TrainConfig& config_;
  const Split& train_;
  const DetectionLoss& loss_;
  const at::Device device_;
  Precision precision_;
  std::shared_ptr<DetectionModel> model_;
  std::unique_ptr<FlatModel> flat_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Ema> ema_;
  std::unique_ptr<GradScaler> scaler_;
};

absl::StatusOr<StepMemory> MeasureHere(const TrainConfig& config, const ModelSpec& spec,
                                       const Split& train, const DetectionLoss& loss,
                                       at::Device device, double budget, MemoryGauge& gauge) {
  gauge.Reset();
  const auto before = static_cast<double>(gauge.Peak());
  std::unique_ptr<Probe> probe;
  const auto peak = [&](int64_t images) -> std::optional<double> {
    gauge.Reset();
    try {
      probe->Step(images);
    } catch (const std::exception& error) {
      if (!IsOutOfMemory(error)) throw;
      return std::nullopt;
    }
    return std::max(static_cast<double>(gauge.Peak()) - before, 1.0);
  };
  YOKE_ASSIGN_OR_RETURN(probe, Probe::Create(config, spec, train, loss, device));
  peak(1);  // makes what is made once
  return MeasureStep(budget, peak);
}

// Where the figures of such trainings are kept; empty: nowhere.
std::string KeptAt(const TrainConfig& config, const ModelSpec& spec, const Split& train,
                   at::Device device) {
  if (config.cache_dir.empty()) return "";
  const Targets targets = DensestTargets(train, TilesOf(config.augment), 1);
  // Near enough: a figure of up to twice the objects.
  const auto objects = std::bit_ceil(static_cast<uint64_t>(targets.class_BM.size(1)));
  std::string name = device.str();
  if (!device.is_cpu()) {
    const auto total = c10::getDeviceAllocator(device.type())->getMemoryInfo(device.index()).second;
    name = absl::StrCat(c10::DeviceTypeName(device.type(), /*lower_case=*/true), total >> 20);
  }
  const formats::StepMemoryKind kind = {spec.scale, spec.class_count, LargestSide(config),
                                        name,       config.amp,       objects};
  return absl::StrCat(config.cache_dir, "/", formats::StepMemoryFileName(kind));
}

}  // namespace

absl::StatusOr<StepMemory> MeasureStep(
    double budget, const std::function<std::optional<double>(int64_t images)>& peak) {
  std::vector<std::pair<double, double>> points;  // images, bytes
  for (int64_t images = 1; images <= kImagesProbedMax; images *= 2) {
    const std::optional<double> bytes = peak(images);
    if (!bytes.has_value()) break;
    points.emplace_back(images, *bytes);
    if (*bytes > kProbedShare * budget && points.size() > 1) break;
  }
  if (points.empty()) {
    return absl::ResourceExhaustedError(
        "batch=-1: not even one image fits into memory; use a smaller imgsz or model");
  }
  StepMemory memory;
  if (points.size() == 1) {
    memory.per_image = points[0].second;
    return memory;
  }
  // Between the last two: small batches have costs of their own.
  const auto& [images_a, bytes_a] = points[points.size() - 2];
  const auto& [images_b, bytes_b] = points.back();
  memory.per_image = std::max((bytes_b - bytes_a) / (images_b - images_a), 1.0);
  memory.fixed = std::max(bytes_b - memory.per_image * images_b, 0.0);
  return memory;
}

int64_t ImagesWithin(double budget, const StepMemory& memory) {
  const double images = (budget - memory.fixed) / memory.per_image;
  return static_cast<int64_t>(std::clamp<double>(std::floor(images), 1, kAutoBatchMax));
}

Targets DensestTargets(const Split& train, int tiles, int64_t images) {
  std::vector<const Sample*> samples;
  for (const Sample& sample : train.samples) samples.push_back(&sample);
  const auto count = std::min(samples.size(), static_cast<size_t>(tiles));
  std::partial_sort(
      samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(count), samples.end(),
      [](const Sample* a, const Sample* b) { return a->labels.size() > b->labels.size(); });
  std::vector<int64_t> classes;
  std::vector<float> boxes;
  const auto side = static_cast<float>(std::ceil(std::sqrt(tiles)));
  for (size_t i = 0; i < count; ++i) {
    const auto row = std::floor(static_cast<float>(i) / side);
    const float column = static_cast<float>(i) - row * side;
    for (const Label& label : samples[i]->labels) {
      classes.push_back(label.class_id);
      boxes.insert(boxes.end(), {(column + label.x) / side, (row + label.y) / side, label.w / side,
                                 label.h / side});
    }
  }
  const auto most = static_cast<int64_t>(classes.size());
  return {at::tensor(classes, at::kLong).view({1, most}).repeat({images, 1}),
          at::tensor(boxes, at::kFloat).view({1, most, 4}).repeat({images, 1, 1})};
}

absl::StatusOr<int64_t> FindBatch(const TrainConfig& config, const ModelSpec& spec,
                                  const Split& train, const DetectionLoss& loss, at::Device device,
                                  Group& group, Observer& observer) {
  const auto world = static_cast<int64_t>(group.world_size());
  const std::unique_ptr<MemoryGauge> gauge = MemoryGauge::For(device);
  // Ranks on CPUs share the machine's memory.
  const double free =
      static_cast<double>(gauge->Free()) / static_cast<double>(device.is_cpu() ? world : 1);
  const double budget = kMemoryShare * free;
  const std::string path = KeptAt(config, spec, train, device);
  absl::StatusOr<StepMemory> memory;
  const std::optional<StepMemory> kept = formats::ReadStepMemory(path);
  if (kept.has_value()) {
    memory = *kept;
  } else {
    observer.OnPhase("probe");
    memory = MeasureHere(config, spec, train, loss, device, budget, *gauge);
    DropCachedMemory(device);
    if (memory.ok() && !path.empty()) {
      std::error_code none;
      std::filesystem::create_directories(config.cache_dir, none);
      // Found again or measured again; nothing else depends on it.
      ReplaceFile(path, formats::StepMemoryText(*memory)).IgnoreError();
    }
  }
  // The largest number of "-images" is the smallest number of images; -0 says that there are none.
  YOKE_ASSIGN_OR_RETURN(const std::vector<int64_t> least,
                        group.Max({memory.ok() ? -ImagesWithin(budget, *memory) : 0}));
  YOKE_RETURN_IF_ERROR(memory.status());
  if (least[0] == 0) return absl::ResourceExhaustedError("batch=-1: out of memory on another rank");
  const auto all = static_cast<int64_t>(train.samples.size());
  const int64_t each = std::clamp<int64_t>(-least[0], 1, std::max<int64_t>(all / world, 1));
  observer.OnLog(absl::StrFormat(
      "batch: %d, found by batch=-1: %d image%s on each of %d device%s take about %.1f GB of the "
      "%.1f GB free here (%.0f MB + %.0f MB an image%s)",
      each * world, each, each == 1 ? "" : "s", world, world == 1 ? "" : "s",
      memory->Of(static_cast<double>(each)) / kGib, free / kGib, memory->fixed / (1 << 20),
      memory->per_image / (1 << 20), kept.has_value() ? ", measured before" : ""));
  return each * world;
}

}  // namespace yoke::engine
