#include "server/engine/eval/validator.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "server/engine/cuda/open_jpeg_decoder.h"
#include "server/engine/eval/class_map.h"
#include "server/engine/eval/coco_categories.h"
#include "server/engine/eval/ensemble.h"
#include "server/engine/eval/inference_model.h"
#include "server/engine/eval/max_det.h"
#include "server/engine/eval/predictions.h"
#include "server/engine/plots/run_plots.h"

namespace yoke::engine {
namespace {

constexpr char kPredictionsFile[] = "predictions.json";
constexpr int kNoTraining = -1;   // in place of an epoch
constexpr int kBatchesReady = 4;  // over all ranks: each holds whole batches

const std::vector<std::string>& SourcesOf(const DataYaml& yaml, const std::string& split) {
  return split == "train" ? yaml.train : split == "test" ? yaml.test : yaml.val;
}

ValidationResult Evaluated(PassResult passed, const std::vector<std::string>& names,
                           double seconds) {
  Shard& whole = passed.whole;
  ValidationResult result;
  result.stopped = passed.stopped;
  if (passed.stopped) return result;
  result.images_per_second = static_cast<double>(whole.images.size()) / seconds;
  result.eval = Evaluate(whole.images, names);
  result.eval.confusion = std::move(whole.confusion);
  for (const std::vector<ImageResult>& member : whole.members)
    result.members.push_back({.eval = Evaluate(member, names)});
  if (whole.batches > 0) {
    const auto batches = static_cast<double>(whole.batches);
    result.box_loss = whole.box_loss / batches;
    result.cls_loss = whole.cls_loss / batches;
    result.dfl_loss = whole.dfl_loss / batches;
  }
  return result;
}

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The `val` task as one rank goes through it.
class ValidationRun {
 public:
  ValidationRun(const ValConfig& config, at::Device device, Group& group, Observer& observer)
      : config_(config), device_(device), group_(group), observer_(observer) {}

  absl::StatusOr<ValidationResult> Run(const StopSignal& stop) {
    YOKE_ASSIGN_OR_RETURN(yaml_, ReadDataYaml(config_.data));
    YOKE_RETURN_IF_ERROR(LoadModels());
    YOKE_RETURN_IF_ERROR(ScanData());
    const std::unique_ptr<Loader> loader = MakeLoader();
    observer_.OnPhase("val");
    const std::unique_ptr<RunPlots> plots = MakePlots();
    if (plots != nullptr) {
      pass_.watch = [&plots](int64_t position, const Batch& batch, const auto& detections) {
        plots->OnValBatch(kNoTraining, position, batch, detections);
      };
    }
    const auto begin = std::chrono::steady_clock::now();
    YOKE_ASSIGN_OR_RETURN(PassResult passed,
                          RunPass(pass_, *loader, config_, device_, group_, observer_, stop));
    const double seconds = SecondsSince(begin);
    const std::vector<ImageDetections> detections = std::move(passed.whole.detections);
    ValidationResult result = Evaluated(std::move(passed), match_.names, seconds);
    if (result.stopped) return result;
    for (size_t m = 0; m < result.members.size(); ++m) {
      result.members[m].model = config_.models[m];
      result.members[m].weight = pass_.ensemble.weights[m];
    }
    if (leads() && !result.members.empty()) LogClasses(result);
    if (plots != nullptr) plots->Finish(result.eval.curves, result.eval.confusion);
    if (config_.save_json) {
      result.coco = EvaluateCoco(CocoImages(split_, detections));
      if (leads()) YOKE_RETURN_IF_ERROR(SavePredictions(detections));
    }
    return result;
  }

 private:
  bool leads() const { return group_.rank() == 0; }

  absl::Status LoadModels() {
    YOKE_ASSIGN_OR_RETURN(pass_.ensemble, ResolveEnsemble(config_.ensemble, config_.models.size()));
    std::vector<ClassList> lists;
    for (const std::string& path : config_.models) {
      YOKE_ASSIGN_OR_RETURN(InferenceModel loaded, LoadForInference(path, device_, at::kFloat));
      lists.push_back({path, loaded.names});
      models_.push_back(std::move(loaded.model));
    }
    YOKE_ASSIGN_OR_RETURN(match_,
                          MatchDataSet(lists, {yaml_.yaml_path, yaml_.names}, config_.single_cls));
    for (size_t m = 0; m < models_.size(); ++m)
      pass_.networks.push_back({models_[m].get(), match_.maps[m]});
    pass_.classes = static_cast<int>(match_.names.size());
    pass_.images_at_once = std::max<int64_t>(config_.batch / group_.world_size(), 1);
    pass_.ensemble.agnostic = config_.single_cls;
    pass_.ensemble.conf = config_.conf;
    pass_.ensemble.knows = KnownClasses(match_.maps, match_.names.size());
    if (!leads()) return absl::OkStatus();
    for (const std::string& note : match_.notes) observer_.OnLog(note);
    for (const std::string& warning : match_.warnings) observer_.OnWarning(warning);
    return absl::OkStatus();
  }

  absl::Status ScanData() {
    const std::vector<std::string>& sources = SourcesOf(yaml_, config_.split);
    if (sources.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(yaml_.yaml_path, ": no '", config_.split,
                                                     ":' in it; add one or choose another split"));
    }
    observer_.OnPhase("scan");
    ScanOptions scan;
    scan.class_count = static_cast<int>(yaml_.names.size());
    scan.single_cls = config_.single_cls;
    scan.skip_bad = config_.on_bad_label == "skip";
    scan.cache_dir = config_.cache_dir;
    scan.threads = std::max(config_.workers, 1);
    if (leads()) {  // all ranks find the same
      scan.warn = [&](const std::string& sentence) { observer_.OnWarning(sentence); };
    }
    YOKE_ASSIGN_OR_RETURN(split_, ScanSplit(sources, scan));
    std::string warning;
    config_.max_det = MaxDetFor(config_.max_det, MostObjects(split_), &warning);
    pass_.ensemble.max_det = config_.max_det;
    if (leads() && !warning.empty()) observer_.OnWarning(warning);
    return absl::OkStatus();
  }

  // Batches are those of a single rank, whatever the number of ranks: with rect a batch's images
  // decide each other's padding, and the figures must not depend on it.
  std::unique_ptr<Loader> MakeLoader() const {
    LoaderOptions options;
    options.batch = static_cast<int>(config_.batch);
    options.imgsz = config_.imgsz;
    options.threads = std::max(config_.workers, 1);
    options.rank = group_.rank();
    options.world_size = group_.world_size();
    options.jpegs = OpenJpegDecoder(config_.nvjpeg, device_, observer_);
    options.ring = std::max(kBatchesReady / group_.world_size(), 2);
    return MakeValLoader(split_, options, config_.rect);
  }

  std::unique_ptr<RunPlots> MakePlots() const {
    if (!leads() || !config_.plots || config_.run_dir.empty()) return nullptr;
    RunPlots::Options options;
    options.run_dir = config_.run_dir;
    options.names = match_.names;
    options.val = &split_;
    options.warn = [this](const std::string& sentence) { observer_.OnWarning(sentence); };
    return std::make_unique<RunPlots>(std::move(options));
  }

  // Side by side, for people.
  void LogClasses(const ValidationResult& result) const {
    std::string line = "mAP50-95 by class: all together";
    for (const MemberResult& member : result.members)
      absl::StrAppend(&line, ", ", std::filesystem::path(member.model).filename().string());
    observer_.OnLog(line);
    for (size_t c = 0; c < result.eval.per_class.size(); ++c) {
      const ClassMetrics& one = result.eval.per_class[c];
      line = absl::StrFormat("%22s %7.4f", one.name, one.map5095);
      for (const MemberResult& member : result.members)
        absl::StrAppendFormat(&line, " %7.4f", member.eval.per_class[c].map5095);
      observer_.OnLog(line);
    }
  }

  absl::Status SavePredictions(const std::vector<ImageDetections>& detections) const {
    const std::string path = absl::StrCat(config_.run_dir, "/", kPredictionsFile);
    std::string warning;
    YOKE_RETURN_IF_ERROR(
        WritePredictions(path, split_, detections, CategoryIds(match_.names), &warning));
    if (!warning.empty()) observer_.OnWarning(warning);
    observer_.OnLog(absl::StrCat("detections: ", path));
    return absl::OkStatus();
  }

  ValConfig config_;
  const at::Device device_;
  Group& group_;
  Observer& observer_;
  DataYaml yaml_;
  Split split_;
  std::vector<std::shared_ptr<DetectionModel>> models_;
  ClassMatch match_;
  ValidationPass pass_;
};

}  // namespace

absl::StatusOr<ValidationResult> Validate(DetectionModel& model, Loader& loader,
                                          const std::vector<std::string>& names,
                                          const ValConfig& config, const DetectionLoss* loss,
                                          at::Device device, Group& group, Observer& observer,
                                          const StopSignal& stop, BatchWatch watch) {
  ClassMap classes(static_cast<size_t>(model.spec().class_count), 0);
  if (!config.single_cls) std::iota(classes.begin(), classes.end(), 0);
  ValidationPass pass;
  pass.networks = {{&model, std::move(classes)}};
  pass.classes = static_cast<int>(names.size());
  pass.loss = loss;
  pass.watch = std::move(watch);
  const auto begin = std::chrono::steady_clock::now();
  YOKE_ASSIGN_OR_RETURN(PassResult passed,
                        RunPass(pass, loader, config, device, group, observer, stop));
  return Evaluated(std::move(passed), names, SecondsSince(begin));
}

absl::StatusOr<ValidationResult> RunValidation(const ValConfig& config, at::Device device,
                                               Group& group, Observer& observer,
                                               const StopSignal& stop) {
  return ValidationRun(config, device, group, observer).Run(stop);
}

}  // namespace yoke::engine
