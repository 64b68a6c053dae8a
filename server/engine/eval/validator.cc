#include "server/engine/eval/validator.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "ATen/core/grad_mode.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/eval/batch_tensors.h"
#include "server/engine/eval/image_results.h"

namespace yoke::engine {
namespace {

// What a rank found in its shard.
struct Shard {
  std::vector<ImageResult> images;
  double box_loss = 0, cls_loss = 0, dfl_loss = 0;  // sums over batches
  int64_t batches = 0;
};

float Clip(double value, int limit) {
  return static_cast<float>(std::clamp(value, 0.0, static_cast<double>(limit)));
}

// Network px -> original px, clipped to the image. As protocol 8.1 does, one gain serves both axes.
template <typename Box>
Box ToOriginal(Box box, const BatchImage& image) {
  const double gain = image.gain_y;
  box.x1 = Clip((box.x1 - image.pad_left) / gain, image.original.width);
  box.x2 = Clip((box.x2 - image.pad_left) / gain, image.original.width);
  box.y1 = Clip((box.y1 - image.pad_top) / gain, image.original.height);
  box.y2 = Clip((box.y2 - image.pad_top) / gain, image.original.height);
  return box;
}

template <typename Box>
std::vector<Box> ToOriginal(const std::vector<Box>& boxes, const BatchImage& image) {
  std::vector<Box> scaled;
  for (const Box& box : boxes) scaled.push_back(ToOriginal(box, image));
  return scaled;
}

std::vector<std::vector<GroundTruth>> TruthsOf(const Batch& batch) {
  std::vector<std::vector<GroundTruth>> truths(batch.images.size());
  const auto width = static_cast<float>(batch.width), height = static_cast<float>(batch.height);
  for (const BatchLabel& label : batch.labels) {
    const float x = label.x * width, y = label.y * height;
    const float half_w = label.w * width / 2, half_h = label.h * height / 2;
    truths[label.image].push_back(
        {x - half_w, y - half_h, x + half_w, y + half_h, static_cast<int>(label.class_id)});
  }
  return truths;
}

// One batch through network, criterion, suppression and matching.
void ValidateBatch(DetectionModel& model, const Batch& batch, const ValConfig& config,
                   const DetectionLoss* loss, at::Device device, Shard& shard) {
  const HeadMaps maps = model.Forward(ImagesOf(batch, device));
  if (loss != nullptr) {
    const at::Tensor items =
        loss->Compute(maps, TargetsOf(batch, device)).items_3.to(at::kCPU, at::kDouble);
    shard.box_loss += items[0].item<double>();
    shard.cls_loss += items[1].item<double>();
    shard.dfl_loss += items[2].item<double>();
  }
  ++shard.batches;
  NmsOptions nms;
  nms.conf = config.conf;
  nms.iou = config.iou;
  nms.max_det = config.max_det;
  nms.multi_label = model.spec().class_count > 1 && !config.single_cls;
  nms.agnostic = config.single_cls;
  std::vector<std::vector<Detection>> detections = NonMaxSuppression(model.Decode(maps), nms);
  const std::vector<std::vector<GroundTruth>> truths = TruthsOf(batch);
  for (size_t i = 0; i < batch.images.size(); ++i) {
    if (config.single_cls) {
      for (Detection& detection : detections[i]) detection.class_id = 0;
    }
    shard.images.push_back(MatchImage(detections[i], truths[i],
                                      ToOriginal(detections[i], batch.images[i]),
                                      ToOriginal(truths[i], batch.images[i])));
  }
}

// The largest number among the ranks, and their sum.
struct Across {
  int64_t max = 0, sum = 0;
};
absl::StatusOr<Across> OverRanks(int64_t mine, Group& group) {
  YOKE_ASSIGN_OR_RETURN(const std::vector<std::string> all,
                        group.AllGatherBytes(std::to_string(mine)));
  Across across;
  for (const std::string& one : all) {
    across.max = std::max<int64_t>(across.max, std::stoll(one));
    across.sum += std::stoll(one);
  }
  return across;
}

// Puts the shards of all ranks together, in the order of ranks.
absl::StatusOr<Shard> Gather(const Shard& mine, Group& group) {
  std::string bytes(4 * sizeof(double), '\0');
  const double numbers[4] = {mine.box_loss, mine.cls_loss, mine.dfl_loss,
                             static_cast<double>(mine.batches)};
  std::memcpy(bytes.data(), numbers, sizeof(numbers));
  bytes += EncodeImageResults(mine.images);
  YOKE_ASSIGN_OR_RETURN(const std::vector<std::string> all, group.AllGatherBytes(bytes));
  Shard whole;
  for (const std::string& one : all) {
    double theirs[4];
    if (one.size() < sizeof(theirs)) return absl::InternalError("a rank sent half a result");
    std::memcpy(theirs, one.data(), sizeof(theirs));
    whole.box_loss += theirs[0];
    whole.cls_loss += theirs[1];
    whole.dfl_loss += theirs[2];
    whole.batches += static_cast<int64_t>(theirs[3]);
    YOKE_RETURN_IF_ERROR(DecodeImageResults(one.substr(sizeof(theirs)), whole.images));
  }
  return whole;
}

// Ranks hold unequal numbers of batches, so all count the rounds of the longest shard: those who
// are done still answer whether to stop.
absl::StatusOr<bool> ValidateShard(DetectionModel& model, Loader& loader, const ValConfig& config,
                                   const DetectionLoss* loss, at::Device device, Group& group,
                                   Observer& observer, const StopSignal& stop, Shard& shard) {
  YOKE_ASSIGN_OR_RETURN(const Across rounds, OverRanks(loader.batches_per_epoch(), group));
  YOKE_ASSIGN_OR_RETURN(const Across images, OverRanks(loader.images_per_epoch(), group));
  loader.StartEpoch(0);
  for (int64_t round = 0; round < rounds.max; ++round) {
    YOKE_ASSIGN_OR_RETURN(const bool stopped, group.AnyTrue(stop.requested()));
    if (stopped) return true;
    YOKE_ASSIGN_OR_RETURN(std::unique_ptr<Batch> batch, loader.Next());
    if (batch == nullptr) continue;
    ValidateBatch(model, *batch, config, loss, device, shard);
    loader.Recycle(std::move(batch));
    const int64_t done = static_cast<int64_t>(shard.images.size()) * group.world_size();
    observer.OnProgress(std::min(done, images.sum), images.sum, "images");
  }
  return false;
}

const std::vector<std::string>& SourcesOf(const DataYaml& yaml, const std::string& split) {
  return split == "train" ? yaml.train : split == "test" ? yaml.test : yaml.val;
}

// A model over a data set whose classes it knows, ready to run.
absl::StatusOr<std::shared_ptr<DetectionModel>> LoadModel(const std::string& path,
                                                          const ValConfig& config,
                                                          const DataYaml& yaml, at::Device device) {
  YOKE_ASSIGN_OR_RETURN(const Weights weights, ReadWeights(path));
  const size_t classes = yaml.names.size();
  if (static_cast<size_t>(weights.spec.class_count) != classes && !config.single_cls) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " knows ", weights.spec.class_count, " classes and ", yaml.yaml_path, " names ",
        classes, "; validate weights on the data set they were trained for"));
  }
  YOKE_ASSIGN_OR_RETURN(std::shared_ptr<DetectionModel> model,
                        DetectionModel::Create(weights.spec));
  Transfer(weights, *model);
  model->Fuse();
  model->to(device);
  return model;
}

}  // namespace

absl::StatusOr<ValidationResult> Validate(DetectionModel& model, Loader& loader,
                                          const std::vector<std::string>& names,
                                          const ValConfig& config, const DetectionLoss* loss,
                                          at::Device device, Group& group, Observer& observer,
                                          const StopSignal& stop) {
  const at::NoGradGuard no_gradients;
  model.eval();
  const auto begin = std::chrono::steady_clock::now();
  Shard mine;
  ValidationResult result;
  YOKE_ASSIGN_OR_RETURN(result.stopped, ValidateShard(model, loader, config, loss, device, group,
                                                      observer, stop, mine));
  if (result.stopped) return result;
  YOKE_ASSIGN_OR_RETURN(const Shard whole, Gather(mine, group));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  result.images_per_second = static_cast<double>(whole.images.size()) / seconds.count();
  result.eval = Evaluate(whole.images, names);
  if (whole.batches > 0) {
    const auto batches = static_cast<double>(whole.batches);
    result.box_loss = whole.box_loss / batches;
    result.cls_loss = whole.cls_loss / batches;
    result.dfl_loss = whole.dfl_loss / batches;
  }
  return result;
}

absl::StatusOr<ValidationResult> RunValidation(const ValConfig& config, at::Device device,
                                               Group& group, Observer& observer,
                                               const StopSignal& stop) {
  YOKE_ASSIGN_OR_RETURN(const DataYaml yaml, ReadDataYaml(config.data));
  YOKE_ASSIGN_OR_RETURN(const std::shared_ptr<DetectionModel> model,
                        LoadModel(config.models.front(), config, yaml, device));
  const std::vector<std::string>& sources = SourcesOf(yaml, config.split);
  if (sources.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(yaml.yaml_path, ": no '", config.split,
                                                   ":' in it; add one or choose another split"));
  }
  observer.OnPhase("scan");
  ScanOptions scan;
  scan.class_count = static_cast<int>(yaml.names.size());
  scan.single_cls = config.single_cls;
  scan.skip_bad = config.on_bad_label == "skip";
  scan.cache_dir = config.cache_dir;
  scan.threads = std::max(config.workers, 1);
  if (group.rank() == 0) {  // all ranks find the same
    scan.warn = [&](const std::string& sentence) { observer.OnWarning(sentence); };
  }
  YOKE_ASSIGN_OR_RETURN(const Split split, ScanSplit(sources, scan));
  LoaderOptions options;
  options.batch = static_cast<int>(std::max<int64_t>(config.batch / group.world_size(), 1));
  options.imgsz = config.imgsz;
  options.threads = std::max(config.workers, 1);
  options.rank = group.rank();
  options.world_size = group.world_size();
  const std::unique_ptr<Loader> loader = MakeValLoader(split, options, config.rect);
  observer.OnPhase("val");
  const std::vector<std::string> names =
      config.single_cls ? std::vector<std::string>{"item"} : yaml.names;
  return Validate(*model, *loader, names, config, nullptr, device, group, observer, stop);
}

}  // namespace yoke::engine
