#include "server/engine/eval/validation_pass.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "ATen/core/grad_mode.h"
#include "common/base/status_macros.h"
#include "server/engine/eval/batch_tensors.h"
#include "server/engine/eval/nms.h"
#include "server/engine/model/inference_net.h"
#include "server/engine/model/lanes.h"

namespace yoke::engine {
namespace {

using Detections = std::vector<std::vector<Detection>>;  // by image

float Clip(double value, int limit) {
  return static_cast<float>(std::clamp(value, 0.0, static_cast<double>(limit)));
}

// Network px -> original px, clipped to the image.
template <typename Box>
std::vector<Box> ToOriginal(std::vector<Box> boxes, const BatchImage& image, double gain_x,
                            double gain_y) {
  for (Box& box : boxes) {
    box.x1 = Clip((box.x1 - image.pad_left) / gain_x, image.original.width);
    box.x2 = Clip((box.x2 - image.pad_left) / gain_x, image.original.width);
    box.y1 = Clip((box.y1 - image.pad_top) / gain_y, image.original.height);
    box.y2 = Clip((box.y2 - image.pad_top) / gain_y, image.original.height);
  }
  return boxes;
}

// By both protocols; in 8.1's one gain serves both axes.
ImageResult MatchOne(const std::vector<Detection>& detections,
                     const std::vector<GroundTruth>& truths, const BatchImage& image) {
  return MatchImage(detections, truths, ToOriginal(detections, image, image.gain_y, image.gain_y),
                    ToOriginal(truths, image, image.gain_y, image.gain_y));
}

std::vector<std::vector<GroundTruth>> TruthsOf(const Batch& batch) {
  std::vector<std::vector<GroundTruth>> truths(batch.images.size());
  const auto width = static_cast<float>(batch.width), height = static_cast<float>(batch.height);
  for (const BatchLabel& label : batch.labels) {
    const float x = label.x * width, y = label.y * height;
    const float half_w = label.w * width / 2, half_h = label.h * height / 2;
    truths[static_cast<size_t>(label.image)].push_back(
        {x - half_w, y - half_h, x + half_w, y + half_h, static_cast<int>(label.class_id)});
  }
  return truths;
}

// Those over `conf`. REQUIRES: by falling confidence.
std::vector<Detection> Over(double conf, std::vector<Detection> detections) {
  while (!detections.empty() && detections.back().confidence <= static_cast<float>(conf))
    detections.pop_back();
  return detections;
}

NmsOptions SuppressionFor(const Network& network, const ValidationPass& pass,
                          const ValConfig& config) {
  NmsOptions nms;
  nms.conf = pass.networks.size() > 1 ? MemberConfidence(pass.ensemble, config.conf) : config.conf;
  nms.iou = config.iou;
  nms.max_det = config.max_det;
  nms.multi_label = network.classes.size() > 1;
  nms.agnostic = config.single_cls;
  const auto known = [](int id) { return id >= 0; };
  if (std::all_of(network.classes.begin(), network.classes.end(), known)) return nms;
  for (size_t id = 0; id < network.classes.size(); ++id) {
    if (known(network.classes[id])) nms.classes.push_back(static_cast<int>(id));
  }
  return nms;
}

HeadMaps Joined(const std::vector<HeadMaps>& parts) {
  if (parts.size() == 1) return parts[0];
  HeadMaps whole;
  for (size_t i = 0; i < whole.box.size(); ++i) {
    std::vector<at::Tensor> box, cls;
    for (const HeadMaps& part : parts) {
      box.push_back(part.box[i]);
      cls.push_back(part.cls[i]);
    }
    whole.box[i] = at::cat(box);
    whole.cls[i] = at::cat(cls);
  }
  return whole;
}

class RankPass {
 public:
  RankPass(const ValidationPass& pass, const ValConfig& config, at::Device device)
      : pass_(pass), config_(config), device_(device) {
    if (several()) shard_.members.resize(pass.networks.size());
    shard_.confusion = EmptyConfusion(pass.classes);
    for (const Network& network : pass.networks)
      nms_.push_back(SuppressionFor(network, pass, config));
    if (!device.is_cpu()) return;
    for (const Network& network : pass.networks) nets_.emplace_back(*network.model);
    lanes_ = std::make_unique<Lanes>(std::max<int64_t>(config.batch, 1));
  }

  void Add(const Batch& batch) {
    std::vector<Detections> found;  // by network
    if (lanes_ != nullptr) {
      for (size_t n = 0; n < nets_.size(); ++n)
        found.push_back(InDataSetsClasses(n, FindInLanes(n, batch)));
    } else {
      const at::Tensor images_BCHW = ImagesOf(batch, device_);
      for (size_t n = 0; n < pass_.networks.size(); ++n)
        found.push_back(InDataSetsClasses(n, Find(n, images_BCHW, batch)));
    }
    const std::vector<std::vector<GroundTruth>> truths = TruthsOf(batch);
    Detections together;
    for (size_t i = 0; i < batch.images.size(); ++i)
      together.push_back(AddImage(found, i, truths[i], batch.images[i]));
    if (pass_.watch) pass_.watch(shard_.batches, batch, together);
    ++shard_.batches;
  }

  const Shard& shard() const { return shard_; }

 private:
  bool several() const { return pass_.networks.size() > 1; }

  // What network `n` finds, in its classes; the criterion's items on the way. Out of memory, with
  // fewer images at once from then on.
  Detections Find(size_t n, const at::Tensor& images_BCHW, const Batch& batch) {
    const int64_t count = images_BCHW.size(0);
    if (at_once_ == 0) at_once_ = pass_.images_at_once > 0 ? pass_.images_at_once : count;
    while (true) {
      try {
        return FindInParts(n, images_BCHW, batch, std::min(at_once_, count));
      } catch (const c10::OutOfMemoryError&) {
        if (at_once_ <= 1) throw;
      }
      at_once_ = (std::min(at_once_, count) + 1) / 2;
    }
  }

  Detections FindInParts(size_t n, const at::Tensor& images_BCHW, const Batch& batch,
                         int64_t at_once) {
    const Network& network = pass_.networks[n];
    const int64_t count = images_BCHW.size(0);
    Detections all;
    std::vector<HeadMaps> parts;
    for (int64_t first = 0; first < count; first += at_once) {
      const HeadMaps maps =
          network.model->Forward(images_BCHW.narrow(0, first, std::min(at_once, count - first)));
      if (pass_.loss != nullptr) parts.push_back(maps);
      Detections found = NonMaxSuppression(network.model->Decode(maps), nms_[n]);
      std::move(found.begin(), found.end(), std::back_inserter(all));
    }
    if (pass_.loss != nullptr) AddLoss(Joined(parts), batch);
    return all;
  }

  // The same on the cores of a CPU, an image on each. Only the criterion needs the maps of all at
  // once.
  Detections FindInLanes(size_t n, const Batch& batch) {
    const auto count = static_cast<size_t>(batch.count);
    const size_t image_size =
        3 * static_cast<size_t>(batch.height) * static_cast<size_t>(batch.width);
    const bool together = pass_.loss != nullptr;
    HeadMaps all_maps;
    if (together) all_maps = nets_[n].MakeMaps(batch.count, batch.height, batch.width);
    Detections all(count);
    std::vector<std::exception_ptr> failures(count);
    lanes_->ForEach(count, [&](size_t i) {
      try {
        HeadMaps maps = together ? all_maps : nets_[n].MakeMaps(1, batch.height, batch.width);
        const int64_t index = together ? static_cast<int64_t>(i) : 0;
        nets_[n].Run(batch.pixels.data() + i * image_size, index, maps);
        all[i] = NonMaxSuppression(maps, index, nms_[n]);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    });
    for (const std::exception_ptr& failure : failures) {
      if (failure != nullptr) std::rethrow_exception(failure);
    }
    if (together) AddLoss(all_maps, batch);
    return all;
  }

  Detections InDataSetsClasses(size_t n, Detections all) const {
    const ClassMap& classes = pass_.networks[n].classes;
    for (std::vector<Detection>& detections : all) {
      for (Detection& d : detections) d.class_id = classes[static_cast<size_t>(d.class_id)];
      std::erase_if(detections, [](const Detection& d) { return d.class_id < 0; });
    }
    return all;
  }

  void AddLoss(const HeadMaps& maps, const Batch& batch) {
    const at::Tensor items =
        pass_.loss->Compute(maps, TargetsOf(batch, device_)).items_3.to(at::kCPU, at::kDouble);
    shard_.box_loss += items[0].item<double>();
    shard_.cls_loss += items[1].item<double>();
    shard_.dfl_loss += items[2].item<double>();
  }

  // Returns what all networks find together.
  std::vector<Detection> AddImage(std::vector<Detections>& found, size_t i,
                                  const std::vector<GroundTruth>& truths, const BatchImage& image) {
    std::vector<Detection> detections;
    if (!several()) {
      detections = std::move(found[0][i]);
    } else {
      std::vector<std::vector<Detection>> members;
      for (Detections& one : found) members.push_back(std::move(one[i]));
      detections = Fuse(members, pass_.ensemble);
      for (size_t m = 0; m < members.size(); ++m) {
        shard_.members[m].push_back(
            MatchOne(Over(config_.conf, std::move(members[m])), truths, image));
      }
    }
    shard_.images.push_back(MatchOne(detections, truths, image));
    CountImage(detections, truths, ConfusionConfidence(config_.conf), shard_.confusion);
    if (config_.save_json) {
      shard_.detections.push_back(
          {image.sample, ToOriginal(detections, image, image.gain_x, image.gain_y)});
    }
    return detections;
  }

  const ValidationPass& pass_;
  const ValConfig& config_;
  const at::Device device_;
  std::vector<NmsOptions> nms_;     // by network
  std::vector<InferenceNet> nets_;  // by network, on CPUs
  std::unique_ptr<Lanes> lanes_;    // on CPUs
  int64_t at_once_ = 0;             // images through a network of a device; 0: not known yet
  Shard shard_;
};

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

// Ranks hold unequal numbers of batches, so all count the rounds of the longest shard: those who
// are done still answer whether to stop. True: stopped.
absl::StatusOr<bool> PassOver(Loader& loader, RankPass& rank_pass, Group& group, Observer& observer,
                              const StopSignal& stop) {
  YOKE_ASSIGN_OR_RETURN(const Across rounds, OverRanks(loader.batches_per_epoch(), group));
  YOKE_ASSIGN_OR_RETURN(const Across images, OverRanks(loader.images_per_epoch(), group));
  loader.StartEpoch(0);
  for (int64_t round = 0; round < rounds.max; ++round) {
    observer.OnIteration();
    YOKE_ASSIGN_OR_RETURN(const bool stopped, group.AnyTrue(stop.requested()));
    if (stopped) return true;
    YOKE_ASSIGN_OR_RETURN(std::unique_ptr<Batch> batch, loader.Next());
    if (batch == nullptr) continue;
    rank_pass.Add(*batch);
    loader.Recycle(std::move(batch));
    const auto mine = static_cast<int64_t>(rank_pass.shard().images.size());
    observer.OnProgress(std::min(mine * group.world_size(), images.sum), images.sum, "images");
  }
  return false;
}

}  // namespace

absl::StatusOr<PassResult> RunPass(const ValidationPass& pass, Loader& loader,
                                   const ValConfig& config, at::Device device, Group& group,
                                   Observer& observer, const StopSignal& stop) {
  const at::NoGradGuard no_gradients;
  for (const Network& network : pass.networks) network.model->eval();
  RankPass mine(pass, config, device);
  PassResult result;
  YOKE_ASSIGN_OR_RETURN(result.stopped, PassOver(loader, mine, group, observer, stop));
  if (result.stopped) return result;
  YOKE_ASSIGN_OR_RETURN(result.whole, Gather(mine.shard(), group));
  return result;
}

}  // namespace yoke::engine
