#include "server/worker/spec_reader.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/worker/spec_object.h"

namespace yoke::worker {
namespace {

using engine::LabelConfig;
using engine::TrainConfig;
using engine::ValConfig;
using nlohmann::json;

constexpr int kStride = 32;

class Reader {
 public:
  Reader(const ipc::AttemptSpec& attempt, Job& job) : attempt_(attempt), job_(job) {}

  absl::StatusOr<TrainConfig> Train(const json& json, const std::string& path) {
    SpecObject object(json, path);
    TrainConfig c;
    object.Read("model", c.model);
    object.Read("data", c.data);
    object.Read("epochs", c.epochs);
    ReadBatch(object, c.batch);
    ReadImageSize(object, c.imgsz);
    object.Read("workers", c.workers);
    object.Read("patience", c.patience);
    object.Read("optimizer", c.optimizer);
    object.Read("lr0", c.lr0);
    object.Read("lrf", c.lrf);
    object.Read("momentum", c.momentum);
    object.Read("weight_decay", c.weight_decay);
    object.Read("warmup_epochs", c.warmup_epochs);
    object.Read("warmup_momentum", c.warmup_momentum);
    object.Read("warmup_bias_lr", c.warmup_bias_lr);
    object.Read("box", c.box);
    object.Read("cls", c.cls);
    object.Read("dfl", c.dfl);
    object.Read("cls_pw", c.cls_pw);
    object.Read("nbs", c.nbs);
    object.Read("close_mosaic", c.close_mosaic);
    object.Read("cos_lr", c.cos_lr);
    object.Read("rect", c.rect);
    object.Read("multi_scale", c.multi_scale);
    object.Read("single_cls", c.single_cls);
    object.Read("fraction", c.fraction);
    ReadFreeze(object, c.freeze_layers);
    object.Read("time", c.time_hours);
    object.Read("seed", c.seed);
    object.Read("deterministic", c.deterministic);
    ReadAmp(object, c.amp);
    object.Read("sync_bn", c.sync_bn);
    ReadCache(object, c.cache);
    object.Read("save_period", c.save_period);
    object.Read("val", c.val);
    object.Read("iou", c.iou);
    object.Read("max_det", c.max_det);
    object.Read("recipe", c.recipe_name);
    ReadRecipe(object, c.recipe);
    object.Read("on_bad_label", c.on_bad_label);
    object.Read("pretrained", c.pretrained);
    object.Read("cls_remap", c.cls_remap);
    object.Read("plots", c.plots);
    object.Read("cuda_graphs", c.cuda_graphs);
    object.Read("nvjpeg", c.nvjpeg);
    object.ReadIfPresent("resume", c.resume);
    ReadAugment(object, c.augment);
    YOKE_RETURN_IF_ERROR(object.Finish());
    // The daemon has turned a job's id into its run folder.
    if (!attempt_.resume_from.empty()) c.resume = attempt_.resume_from;
    c.run_dir = attempt_.run_dir;
    c.cache_dir = attempt_.cache_dir;
    c.user_set = attempt_.user_set;
    return c;
  }

  absl::StatusOr<ValConfig> Validate(const json& json) {
    SpecObject object(json, "validate");
    ValConfig c;
    object.Read("model", c.models);
    if (c.models.empty()) object.Fail("model", "names no weights");
    object.Read("data", c.data);
    object.Read("split", c.split);
    ReadBatch(object, c.batch);
    ReadImageSize(object, c.imgsz);
    object.Read("conf", c.conf);
    object.Read("iou", c.iou);
    object.Read("max_det", c.max_det);
    object.Read("rect", c.rect);
    object.Read("single_cls", c.single_cls);
    object.Read("save_json", c.save_json);
    object.Read("plots", c.plots);
    ReadEnsemble(object, c.models.size(), c.ensemble);
    object.Read("workers", c.workers);
    ReadAmp(object, c.amp);
    object.Read("nvjpeg", c.nvjpeg);
    object.Read("on_bad_label", c.on_bad_label);
    YOKE_RETURN_IF_ERROR(object.Finish());
    c.run_dir = attempt_.run_dir;
    c.cache_dir = attempt_.cache_dir;
    return c;
  }

  absl::StatusOr<LabelConfig> Label(const json& json) {
    SpecObject object(json, "label");
    LabelConfig c;
    object.Read("model", c.models);
    object.Read("source", c.sources);
    object.Read("out", c.out);
    object.Read("conf", c.conf);
    object.Read("iou", c.iou);
    ReadImageSize(object, c.imgsz);
    object.Read("batch", c.batch);
    object.Read("max_det", c.max_det);
    object.ReadIfPresent("classes", c.classes);
    object.Read("save_conf", c.save_conf);
    object.Read("agnostic_nms", c.agnostic_nms);
    object.Read("overwrite", c.overwrite);
    object.Read("workers", c.workers);
    ReadAmp(object, c.amp);
    object.Read("nvjpeg", c.nvjpeg);
    if (c.models.empty()) object.Fail("model", "names no weights");
    ReadEnsemble(object, c.models.size(), c.ensemble);
    if (c.sources.empty()) object.Fail("source", "names no folder of images");
    YOKE_RETURN_IF_ERROR(object.Finish());
    return c;
  }

  absl::StatusOr<ProcessJob> Process(const json& json) {
    SpecObject object(json, "process");
    ProcessJob job;
    std::vector<double> split;
    std::string preset;  // already resolved into `train`
    object.Read("source", job.process.source);
    object.Read("out", job.process.out);
    object.Read("split", split);
    object.Read("split_seed", job.process.seed);
    object.ReadIfPresent("names", job.process.names);
    object.Read("link", job.process.link);
    object.Read("on_bad_label", job.process.on_bad_label);
    object.ReadIfPresent("preset", preset);
    const auto* train = object.Find("train");
    if (split.size() < 2 || split.size() > 3) object.Fail("split", "must be two or three shares");
    YOKE_RETURN_IF_ERROR(object.Finish());
    job.process.train = split[0];
    job.process.val = split[1];
    job.process.test = split.size() == 3 ? split[2] : 0;
    if (train != nullptr) {
      YOKE_ASSIGN_OR_RETURN(job.train, Train(*train, "process.train"));
    }
    return job;
  }

  absl::StatusOr<engine::ExportConfig> Export(const json& json) {
    SpecObject object(json, "export");
    engine::ExportConfig c;
    object.Read("model", c.model);
    object.Read("format", c.format);
    object.ReadIfPresent("out", c.out);
    ReadImageSize(object, c.imgsz);
    object.Read("batch", c.batch);
    object.Read("dynamic", c.dynamic);
    object.Read("nms", c.nms);
    object.Read("conf", c.conf);
    object.Read("iou", c.iou);
    object.Read("max_det", c.max_det);
    object.Read("agnostic_nms", c.agnostic_nms);
    object.Read("half", c.half);
    object.Read("opset", c.opset);
    YOKE_RETURN_IF_ERROR(object.Finish());
    if (c.out.empty()) {
      const std::string stem = std::filesystem::path(c.model).stem().string();
      c.out =
          absl::StrCat(attempt_.run_dir, "/", stem, c.format == "onnx" ? ".onnx" : ".safetensors");
    }
    return c;
  }

  absl::StatusOr<SelftestJob> Selftest(const json& json) {
    SpecObject object(json, "selftest");
    SelftestJob job;
    object.Read("epochs", job.epochs);
    ReadBatch(object, job.batch);
    ReadImageSize(object, job.imgsz);
    YOKE_RETURN_IF_ERROR(object.Finish());
    return job;
  }

 private:
  static void ReadAugment(SpecObject& object, engine::AugmentConfig& c) {
    object.Read("hsv_h", c.hsv_h);
    object.Read("hsv_s", c.hsv_s);
    object.Read("hsv_v", c.hsv_v);
    object.Read("degrees", c.degrees);
    object.Read("translate", c.translate);
    object.Read("scale", c.scale);
    object.Read("shear", c.shear);
    object.Read("perspective", c.perspective);
    object.Read("flipud", c.flipud);
    object.Read("fliplr", c.fliplr);
    object.Read("bgr", c.bgr);
    object.Read("mosaic", c.mosaic);
    object.Read("mosaic_tiles", c.mosaic_tiles);
    object.Read("mixup", c.mixup);
    object.Read("cutmix", c.cutmix);
    object.Read("copy_paste", c.copy_paste);
    object.Read("copy_paste_mode", c.copy_paste_mode);
    object.Read("hsv_additive", c.hsv_additive);
    object.Read("mosaic_recent", c.mosaic_recent);
    object.Read("polygon_clip", c.polygon_clip);
    object.Read("label_half_pixel", c.label_half_pixel);
  }

  static void ReadRecipe(SpecObject& object, engine::RecipeConfig& c) {
    object.Read("tal_floor", c.tal_floor);
    object.Read("box_bias", c.box_bias);
    object.Read("fresh_var", c.fresh_var);
    object.Read("warmup_floor", c.warmup_floor);
    object.Read("warmup_cap", c.warmup_cap);
    object.Read("lr_lag", c.lr_lag);
    object.Read("accumulate_cap", c.accumulate_cap);
    object.Read("zero_grad", c.zero_grad);
    object.Read("fitness_map50", c.fitness_map50);
    object.Read("best_on_tie", c.best_on_tie);
    object.Read("close_short", c.close_short);
    object.Read("fraction_random", c.fraction_random);
    object.Read("freeze_bn", c.freeze_bn);
    object.Read("max_det_auto", c.max_det_auto);
    object.Read("lr_bias_first", c.lr_bias_first);
    object.Read("auto_long", c.auto_long);
  }

  // `freeze` means the first layers; `freeze_layers` lists some.
  static void ReadFreeze(SpecObject& object, std::vector<int>& layers) {
    int first = 0;
    object.Read("freeze", first);
    object.ReadIfPresent("freeze_layers", layers);
    for (int i = 0; i < first; ++i) layers.push_back(i);
    std::sort(layers.begin(), layers.end());
    layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  }

  static void ReadEnsemble(SpecObject& object, size_t models, engine::EnsembleConfig& c) {
    object.Read("ensemble", c.method);
    object.ReadIfPresent("weights", c.weights);
    object.Read("ensemble_iou", c.iou);
    if (!c.weights.empty() && c.weights.size() != models) {
      object.Fail("weights",
                  absl::StrCat("names ", c.weights.size(), " numbers for ", models, " models"));
    }
  }

  void ReadBatch(SpecObject& object, int64_t& batch) const {
    object.Read("batch", batch);
    if (batch == -1) return;  // found on the devices themselves
    const auto ranks = static_cast<int64_t>(attempt_.ranks.size());
    if (batch < ranks || batch % ranks != 0) {
      object.Fail("batch",
                  absl::StrCat("is ", batch, ", which ", ranks, " devices cannot share evenly"));
    }
  }

  void ReadImageSize(SpecObject& object, int& size) {
    object.Read("imgsz", size);
    const int asked = size;
    size = (asked + kStride - 1) / kStride * kStride;
    if (size == asked) return;
    job_.warnings.push_back(
        absl::StrCat("imgsz=", asked, " is not a multiple of ", kStride, "; rounded up to ", size));
  }

  static void ReadAmp(SpecObject& object, std::string& amp) {
    std::string word;
    object.Read("amp", word);
    amp = word == "true" ? "auto" : word == "false" ? "off" : word;
  }

  void ReadCache(SpecObject& object, std::string& cache) {
    std::string word;
    object.Read("cache", word);
    cache = word == "true" ? "ram" : word == "false" ? "off" : word;
  }

  const ipc::AttemptSpec& attempt_;
  Job& job_;
};

}  // namespace

bool OnCpu(const ipc::AttemptSpec& attempt) {
  for (const ipc::RankSpec& rank : attempt.ranks) {
    for (const std::string& device : rank.devices) {
      if (!absl::StartsWith(device, "cpu:")) return false;
    }
  }
  return true;
}

absl::StatusOr<Job> ReadJob(const ipc::AttemptSpec& attempt) {
  if (attempt.ranks.empty()) return absl::InvalidArgumentError("spec.json: no ranks");
  Job job;
  Reader reader(attempt, job);
  SpecObject object(attempt.spec, "spec");
  object.Read("device", job.device);
  const json* const train = object.Find("train");
  const json* const validate = object.Find("validate");
  const json* const label = object.Find("label");
  const json* const process = object.Find("process");
  const json* const selftest = object.Find("selftest");
  const json* const exported = object.Find("export");
  YOKE_RETURN_IF_ERROR(object.Finish());
  if (train != nullptr) {
    YOKE_ASSIGN_OR_RETURN(job.task, reader.Train(*train, "train"));
  } else if (validate != nullptr) {
    YOKE_ASSIGN_OR_RETURN(job.task, reader.Validate(*validate));
  } else if (label != nullptr) {
    YOKE_ASSIGN_OR_RETURN(job.task, reader.Label(*label));
  } else if (process != nullptr) {
    YOKE_ASSIGN_OR_RETURN(job.task, reader.Process(*process));
  } else if (selftest != nullptr) {
    YOKE_ASSIGN_OR_RETURN(job.task, reader.Selftest(*selftest));
  } else if (exported != nullptr) {
    YOKE_ASSIGN_OR_RETURN(job.task, reader.Export(*exported));
  } else {
    return absl::InvalidArgumentError(
        "spec: none of train, validate, label, process, selftest, export");
  }
  return job;
}

}  // namespace yoke::worker
