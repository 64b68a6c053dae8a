#include "server/engine/data/process.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"
#include "server/worker/tasks/tasks.h"

namespace yoke::worker {
namespace {

nlohmann::json ResultJson(const engine::ProcessResult& r) {
  return {{"images", r.images},
          {"boxes", r.boxes},
          {"train", r.train},
          {"val", r.val},
          {"test", r.test},
          {"imagesWithoutLabels", r.images_without_labels},
          {"labelsWithoutImages", r.labels_without_images},
          {"duplicates", r.duplicates},
          {"corrupt", r.corrupt},
          {"boxesPerClass", r.boxes_per_class},
          {"dataYaml", r.data_yaml}};
}

// What an earlier attempt of this job made is not made again: its result lies in the run folder.
absl::StatusOr<nlohmann::json> MakeDataset(const engine::ProcessConfig& config, Rank& rank) {
  const std::string record = rank.attempt.run_dir + "/process.json";
  if (os::FileExists(record) && os::FileExists(config.out + "/data.yaml")) {
    rank.observer.OnLog(
        absl::StrCat("the data set ", config.out, " was made by an earlier attempt"));
    return ipc::ReadJsonFile(record);
  }
  YOKE_ASSIGN_OR_RETURN(const engine::ProcessResult made,
                        engine::RunProcess(config, rank.observer, rank.stop));
  rank.observer.OnLog(absl::StrCat("data set ", made.data_yaml, ": ", made.images, " images, ",
                                   made.boxes, " boxes; train ", made.train, ", val ", made.val,
                                   ", test ", made.test));
  const nlohmann::json result = ResultJson(made);
  YOKE_RETURN_IF_ERROR(ipc::WriteJsonFile(record, result));
  return result;
}

}  // namespace

absl::StatusOr<TaskEnd> RunProcessTask(const ProcessJob& job, Rank& rank) {
  nlohmann::json made;
  if (rank.leads()) {
    YOKE_ASSIGN_OR_RETURN(made, MakeDataset(job.process, rank));
  }
  YOKE_RETURN_IF_ERROR(rank.group->Barrier());
  TaskEnd end;
  if (job.train) {
    YOKE_ASSIGN_OR_RETURN(end, RunTrainTask(*job.train, rank));
  }
  end.result["process"] = std::move(made);
  return end;
}

}  // namespace yoke::worker
