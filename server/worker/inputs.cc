#include "server/worker/inputs.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "server/engine/resume_path.h"

namespace yoke::worker {
namespace {

namespace fs = std::filesystem;

bool IsFile(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored) && !fs::is_directory(path, ignored);
}

bool IsFolder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::string Absolute(const std::string& path) {
  std::string text = fs::absolute(path).lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

// yolov8n.yaml and its kin: a network without weights.
bool IsScaleName(const std::string& model) {
  return model.size() == 12 && absl::StartsWith(model, "yolov8") &&
         absl::EndsWith(model, ".yaml") && absl::StrContains("nsmlx", model.substr(6, 1));
}

absl::StatusOr<std::string> OnlyYaml(const std::string& folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator entries(folder, error); !error && entries != fs::directory_iterator();
       entries.increment(error)) {
    const std::string extension = entries->path().extension().string();
    if ((extension == ".yaml" || extension == ".yml") && IsFile(entries->path()))
      found.push_back(entries->path().string());
  }
  if (error) return absl::NotFoundError(absl::StrCat("data: ", folder, ": ", error.message()));
  std::sort(found.begin(), found.end());
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("data: the folder ", folder,
                     " holds no YAML that describes a data set; write one into it"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("data: the folder ", folder,
                   " holds several YAML files; name one: ", absl::StrJoin(found, ", ")));
}

bool HasState(const fs::path& run) {
  return IsFile(run / "checkpoints/a.ckpt") || IsFile(run / "checkpoints/b.ckpt");
}

absl::Status ResolveResume(const ipc::AttemptSpec& attempt, engine::TrainConfig& train, Job& job) {
  if (train.resume.empty()) return absl::OkStatus();
  train.resume = Absolute(train.resume);
  if (train.resume == Absolute(attempt.run_dir)) {
    // A new attempt at the same job. The one before may have died before it had anything to save.
    if (HasState(train.resume)) return absl::OkStatus();
    train.resume.clear();
    job.warnings.push_back("the attempt before this one left no training state; starting afresh");
    return absl::OkStatus();
  }
  std::error_code ignored;
  if (!fs::exists(train.resume, ignored)) {
    return absl::NotFoundError(
        absl::StrCat("resume: ", train.resume, ": no such run folder or checkpoint"));
  }
  const fs::path run = engine::RunFolderOf(train.resume);
  if (!HasState(run)) {
    return absl::NotFoundError(absl::StrCat("resume: no training state in ",
                                            (run / "checkpoints").string(),
                                            "; to train on from its weights, give them as model="));
  }
  // The network is that of the run continued, unless the user insists on another.
  const bool model_given =
      std::find(train.user_set.begin(), train.user_set.end(), "model") != train.user_set.end();
  if (!model_given && IsFile(run / "weights/last.pt"))
    train.model = (run / "weights/last.pt").string();
  return absl::OkStatus();
}

absl::Status ResolveTrain(const ipc::AttemptSpec& attempt, engine::TrainConfig& train, Job& job) {
  YOKE_RETURN_IF_ERROR(ResolveResume(attempt, train, job));
  YOKE_ASSIGN_OR_RETURN(train.model, FindModel(train.model, WeightsDirs(attempt)));
  return absl::OkStatus();
}

absl::Status FindWeights(const ipc::AttemptSpec& attempt, const char* task,
                         std::vector<std::string>& models) {
  for (std::string& model : models) {
    YOKE_ASSIGN_OR_RETURN(model, FindModel(model, WeightsDirs(attempt)));
    if (IsScaleName(model)) {
      return absl::InvalidArgumentError(
          absl::StrCat("model=", model, " has no weights; ", task, " needs a .pt"));
    }
  }
  return absl::OkStatus();
}

absl::Status ResolveLabel(const ipc::AttemptSpec& attempt, engine::LabelConfig& label) {
  YOKE_RETURN_IF_ERROR(FindWeights(attempt, "labelling", label.models));
  for (std::string& source : label.sources) {
    source = Absolute(source);
    std::error_code ignored;
    if (!fs::exists(source, ignored))
      return absl::NotFoundError(absl::StrCat("source: ", source, ": no such folder or file"));
  }
  label.out = Absolute(label.out);
  return absl::OkStatus();
}

absl::Status ResolveValidate(const ipc::AttemptSpec& attempt, engine::ValConfig& val) {
  YOKE_ASSIGN_OR_RETURN(val.data, FindData(val.data));
  return FindWeights(attempt, "validation", val.models);
}

}  // namespace

absl::StatusOr<std::string> FindData(const std::string& data) {
  const std::string path = Absolute(data);
  if (IsFile(path)) return path;
  if (IsFile(path + ".yaml")) return path + ".yaml";
  if (IsFolder(path)) return OnlyYaml(path);
  return absl::NotFoundError(absl::StrCat("data: ", path, ": no such file, no ", path,
                                          ".yaml and no such folder; name the data set's YAML"));
}

std::vector<std::string> WeightsDirs(const ipc::AttemptSpec& attempt) {
  std::vector<std::string> folders;
  const char* variable = std::getenv("YOKE_WEIGHTS_DIR");
  if (variable != nullptr && *variable != '\0') folders.push_back(variable);
  if (!attempt.cache_dir.empty())
    folders.push_back((fs::path(attempt.cache_dir).parent_path() / "weights").string());
  return folders;
}

absl::StatusOr<std::string> FindModel(const std::string& model,
                                      const std::vector<std::string>& weights_dirs) {
  const std::string path = Absolute(model);
  if (IsFile(path)) return path;
  if (IsFolder(path))
    return absl::InvalidArgumentError(
        absl::StrCat("model: ", path, " is a folder; name the weights in it"));
  if (IsScaleName(model)) return model;
  const bool bare = !absl::StrContains(model, "/");
  for (const std::string& folder : weights_dirs) {
    if (bare && IsFile(fs::path(folder) / model))
      return Absolute((fs::path(folder) / model).string());
  }
  const std::string advice = ", or train from scratch with model=yolov8n.yaml (n s m l x)";
  if (bare && !weights_dirs.empty()) {
    return absl::NotFoundError(absl::StrCat("model: ", model, " is not here; put it in ",
                                            absl::StrJoin(weights_dirs, " or "),
                                            " or give its path", advice));
  }
  return absl::NotFoundError(
      absl::StrCat("model: ", path, ": no such file; put the weights there", advice));
}

absl::Status ResolveInputs(const ipc::AttemptSpec& attempt, Job& job) {
  if (auto* train = std::get_if<engine::TrainConfig>(&job.task)) {
    YOKE_ASSIGN_OR_RETURN(train->data, FindData(train->data));
    return ResolveTrain(attempt, *train, job);
  }
  if (auto* val = std::get_if<engine::ValConfig>(&job.task)) return ResolveValidate(attempt, *val);
  if (auto* label = std::get_if<engine::LabelConfig>(&job.task))
    return ResolveLabel(attempt, *label);
  if (auto* exported = std::get_if<engine::ExportConfig>(&job.task)) {
    std::vector<std::string> models = {exported->model};
    YOKE_RETURN_IF_ERROR(FindWeights(attempt, "an export", models));
    exported->model = models.front();
    exported->out = Absolute(exported->out);
    return absl::OkStatus();
  }
  if (auto* process = std::get_if<ProcessJob>(&job.task)) {
    process->process.source = Absolute(process->process.source);
    process->process.out = Absolute(process->process.out);
    if (!process->train) return absl::OkStatus();
    process->train->data = process->process.out + "/data.yaml";
    return ResolveTrain(attempt, *process->train, job);
  }
  return absl::OkStatus();
}

}  // namespace yoke::worker
