#include "server/worker/prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/cuda/cuda_module.h"
#include "server/engine/data/dataset.h"
#include "server/engine/data/file_list.h"
#include "server/engine/data/process/raw_folder.h"
#include "server/engine/eval/class_map.h"
#include "server/engine/eval/ensemble.h"
#include "server/engine/export/export.h"
#include "server/engine/label/detector.h"
#include "server/engine/label/label_files.h"
#include "server/engine/resume_path.h"
#include "server/engine/train/identity.h"
#include "server/engine/train/resume.h"
#include "server/engine/train/run_folder.h"
#include "server/engine/train/training_data.h"
#include "server/worker/banner.h"
#include "server/worker/failure.h"
#include "server/worker/inputs.h"

namespace yoke::worker {
namespace {

namespace fs = std::filesystem;
using engine::DataYaml;
using engine::Split;

constexpr size_t kWarningsMax = 100;

// The folder, or the nearest one above it that exists, takes new files.
absl::Status CheckWritable(const std::string& key, const std::string& folder) {
  fs::path at = folder;
  std::error_code error;
  while (!fs::exists(at, error) && at.has_relative_path()) at = at.parent_path();
  if (!fs::is_directory(at, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat(key, ": ", at.string(), " is a file where a folder is needed"));
  }
  if (faccessat(AT_FDCWD, at.c_str(), W_OK | X_OK, AT_EACCESS) == 0) return absl::OkStatus();
  const absl::Status status =
      os::ErrnoStatus(errno, absl::StrCat(key, ": cannot write to ", at.string()));
  return absl::Status(
      status.code(), absl::StrCat(status.message(),
                                  "; choose another folder, or let the daemon's user write there"));
}

// The classes of the weights that a training begins with; none where it begins from scratch.
absl::StatusOr<std::vector<std::string>> ClassesOfModel(const std::string& model) {
  if (absl::EndsWith(model, ".pt")) {
    YOKE_ASSIGN_OR_RETURN(engine::Weights weights, engine::ReadWeights(model));
    return std::move(weights.names);
  }
  if (engine::ScaleFromName(fs::path(model).filename().string()) != '\0')
    return std::vector<std::string>();
  return absl::InvalidArgumentError(absl::StrCat(
      "model=", model, " is no model; give weights (.pt) or yolov8n.yaml (n s m l x)"));
}

absl::StatusOr<std::vector<engine::ClassList>> ClassesOf(const std::vector<std::string>& models) {
  std::vector<engine::ClassList> lists;
  for (const std::string& model : models) {
    YOKE_ASSIGN_OR_RETURN(engine::Weights weights, engine::ReadWeights(model));
    lists.push_back({model, std::move(weights.names)});
  }
  return lists;
}

class Checker {
 public:
  Checker(const ipc::AttemptSpec& attempt, CheckListener listener)
      : attempt_(attempt), listener_(std::move(listener)) {
    for (const ipc::RankSpec& rank : attempt.ranks) threads_ += std::max(rank.threads, 1);
  }

  absl::Status Run(const Job& job) {
    YOKE_RETURN_IF_ERROR(CheckDevices());
    YOKE_RETURN_IF_ERROR(CheckWritable("run folder", attempt_.run_dir));
    YOKE_RETURN_IF_ERROR(CheckWritable("cache folder", attempt_.cache_dir));
    return std::visit([this](const auto& task) { return Check(task); }, job.task);
  }

 private:
  void Warn(const std::string& sentence) { listener_.warn(sentence); }

  absl::Status CheckDevices() const {
    if (OnCpu(attempt_)) return absl::OkStatus();
    const absl::StatusOr<engine::CudaModule*> cuda = engine::CudaModule::Load();
    return cuda.ok() ? absl::OkStatus() : CudaUnavailable(std::string(cuda.status().message()));
  }

  // The same options as the task itself uses, or the cache would not serve it.
  absl::StatusOr<Split> Scan(const char* split_name, const std::vector<std::string>& sources,
                             const DataYaml& yaml, bool single_cls, const std::string& on_bad_label,
                             engine::ScanOptions options = {}) {
    options.class_count = static_cast<int>(yaml.names.size());
    options.single_cls = single_cls;
    options.skip_bad = on_bad_label == "skip";
    options.cache_dir = attempt_.cache_dir;
    options.threads = threads_;
    options.warn = listener_.warn;
    options.progress = listener_.progress;
    YOKE_ASSIGN_OR_RETURN(Split split, ScanSplit(sources, options));
    if (split.missing_labels > 0) {
      Warn(absl::StrCat(split.missing_labels, " of ", split.samples.size(), " images of ",
                        split_name, " have no label file and count as background"));
    }
    if (split.boxes == 0) Warn(absl::StrCat("no image of ", split_name, " has a box"));
    return split;
  }

  absl::Status Check(const engine::TrainConfig& train) {
    YOKE_ASSIGN_OR_RETURN(const std::vector<std::string> known, ClassesOfModel(train.model));
    std::optional<engine::TrainState> state;
    std::string ignored;  // the training itself warns
    if (!train.resume.empty()) {
      YOKE_ASSIGN_OR_RETURN(state, engine::LoadResumable(train, &ignored));
      const std::string folder = engine::RunFolderOf(train.resume);
      const std::vector<std::string> differ = engine::ArgsThatDiffer(folder, train);
      if (!differ.empty() && folder != attempt_.run_dir) {
        Warn(absl::StrCat(
            "resume: ", folder, " was trained otherwise: ", absl::StrJoin(differ, "; "),
            ". Give the keys that shall stay as they were, or resume=JOB, which keeps them"));
      }
    }
    YOKE_ASSIGN_OR_RETURN(const DataYaml yaml, engine::ReadDataYaml(train.data));
    if (yaml.train.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(yaml.yaml_path, ": no 'train:' in it; name the training images"));
    }
    if (train.val && yaml.val.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          yaml.yaml_path, ": no 'val:' in it; name the validation images, or give val=false"));
    }
    const std::vector<std::string> names = engine::ClassNames(yaml, train.single_cls);
    if (train.pretrained && train.cls_remap) {
      const absl::Status match = engine::MatchClasses(known, names).status();
      if (!match.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("model=", train.model, ": ", match.message()));
      }
    }
    Split val;
    YOKE_ASSIGN_OR_RETURN(const Split images,
                          Scan("train", yaml.train, yaml, train.single_cls, train.on_bad_label,
                               {.fraction = train.fraction,
                                .fraction_random = train.recipe.fraction_random,
                                .seed = train.seed,
                                .polygons = true}));
    if (train.val) {
      YOKE_ASSIGN_OR_RETURN(val, Scan("val", yaml.val, yaml, train.single_cls, train.on_bad_label));
    }
    if (!state.has_value()) return absl::OkStatus();
    return engine::CheckData(*state, engine::IdentityOf(names, images, val));
  }

  absl::Status Check(const engine::ValConfig& val) {
    YOKE_ASSIGN_OR_RETURN(const DataYaml yaml, engine::ReadDataYaml(val.data));
    YOKE_RETURN_IF_ERROR(engine::ResolveEnsemble(val.ensemble, val.models.size()).status());
    YOKE_ASSIGN_OR_RETURN(const std::vector<engine::ClassList> classes, ClassesOf(val.models));
    YOKE_ASSIGN_OR_RETURN(
        const engine::ClassMatch match,
        engine::MatchDataSet(classes, {yaml.yaml_path, yaml.names}, val.single_cls));
    for (const std::string& warning : match.warnings) Warn(warning);
    const std::vector<std::string>& sources = val.split == "train"  ? yaml.train
                                              : val.split == "test" ? yaml.test
                                                                    : yaml.val;
    if (sources.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(yaml.yaml_path, ": no '", val.split,
                                                     ":' in it; add one or choose another split"));
    }
    return Scan(val.split.c_str(), sources, yaml, val.single_cls, val.on_bad_label).status();
  }

  absl::Status Check(const engine::LabelConfig& label) {
    YOKE_RETURN_IF_ERROR(engine::ResolveEnsemble(label.ensemble, label.models.size()).status());
    YOKE_ASSIGN_OR_RETURN(const std::vector<engine::ClassList> classes, ClassesOf(label.models));
    YOKE_ASSIGN_OR_RETURN(const engine::ClassMatch match, engine::MatchModels(classes));
    YOKE_RETURN_IF_ERROR(engine::CheckKeptClasses(label, match.names.size()));
    for (const std::string& source : label.sources)
      YOKE_RETURN_IF_ERROR(engine::ListImages(source).status());
    YOKE_RETURN_IF_ERROR(CheckWritable("out", label.out));
    return engine::CheckClassNames(label.out, match.names, label.overwrite);
  }

  absl::Status Check(const ProcessJob& job) {
    YOKE_ASSIGN_OR_RETURN(const engine::RawFolder raw, engine::ReadRawFolder(job.process.source));
    const auto unlabelled =
        std::count_if(raw.images.begin(), raw.images.end(),
                      [](const auto& image) { return image.label_path.empty(); });
    if (unlabelled > 0) {
      Warn(absl::StrCat(unlabelled, " of ", raw.images.size(), " images in ", job.process.source,
                        " have no label file and count as background",
                        unlabelled == std::ssize(raw.images)
                            ? "; a model trained on them would find nothing"
                            : ""));
    }
    YOKE_RETURN_IF_ERROR(CheckWritable("out", job.process.out));
    if (job.train) YOKE_RETURN_IF_ERROR(ClassesOfModel(job.train->model).status());
    std::error_code error;
    const bool made_before = os::FileExists(attempt_.run_dir + "/process.json");
    if (!made_before && fs::exists(job.process.out, error) &&
        !fs::is_empty(job.process.out, error)) {
      return absl::AlreadyExistsError(absl::StrCat(
          "out: ", job.process.out, " exists and is not empty; choose a new folder or remove it"));
    }
    return absl::OkStatus();
  }

  absl::Status Check(const SelftestJob& job) { return absl::OkStatus(); }

  absl::Status Check(const engine::ExportConfig& exported) {
    YOKE_RETURN_IF_ERROR(engine::CheckExport(exported));
    YOKE_RETURN_IF_ERROR(CheckWritable("out", fs::path(exported.out).parent_path().string()));
    return engine::ReadWeights(exported.model).status();
  }

  const ipc::AttemptSpec& attempt_;
  const CheckListener listener_;
  int threads_ = 0;
};

// `look()`, with what it throws as an error.
template <typename Look>
std::invoke_result_t<Look> Guarded(const Look& look) {
  try {
    return look();
  } catch (const std::bad_alloc&) {
    return OutOfMemory("out of memory while looking at data and weights");
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("while looking at data and weights: ", error.what()));
  }
}

}  // namespace

absl::Status CheckJob(const ipc::AttemptSpec& attempt, const Job& job, CheckListener listener) {
  return Guarded([&] { return Checker(attempt, std::move(listener)).Run(job); });
}

absl::StatusOr<Prepared> Prepare(const ipc::AttemptSpec& attempt) {
  return Guarded([&]() -> absl::StatusOr<Prepared> {
    YOKE_ASSIGN_OR_RETURN(Job job, ReadJob(attempt));
    YOKE_RETURN_IF_ERROR(ResolveInputs(attempt, job));
    Prepared prepared;
    std::vector<std::string>& kept = prepared.warnings;
    size_t left_out = 0;
    const auto keep = [&](const std::string& sentence) {
      if (std::find(kept.begin(), kept.end(), sentence) != kept.end()) return;
      if (kept.size() < kWarningsMax) {
        kept.push_back(sentence);
      } else {
        ++left_out;
      }
    };
    for (const std::string& warning : job.warnings) keep(warning);
    YOKE_RETURN_IF_ERROR(CheckJob(attempt, job, {.warn = keep, .progress = {}}));
    if (left_out > 0) kept.push_back(absl::StrCat("… and ", left_out, " more warnings"));
    prepared.banner = BannerLines(attempt, job);
    return prepared;
  });
}

nlohmann::json PrepareAnswer(const absl::StatusOr<Prepared>& prepared) {
  if (prepared.ok())
    return {{"ok", true}, {"banner", prepared->banner}, {"warnings", prepared->warnings}};
  const Failure failure = FailureOf(prepared.status());
  return {{"ok", false}, {"reason", failure.reason}, {"message", failure.message}};
}

}  // namespace yoke::worker
