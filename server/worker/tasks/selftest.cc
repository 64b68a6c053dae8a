#include <algorithm>
#include <cmath>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "server/engine/data/shapes/shapes.h"
#include "server/worker/tasks/tasks.h"

namespace yoke::worker {
namespace {

constexpr int kTrainImages = 64, kValImages = 16, kClasses = 3;
constexpr int kDrawnSizeMax = 640;  // px

// A finished training in its shortest form: from scratch, with everything else as a user gets it.
engine::TrainConfig TrainingOf(const SelftestJob& job, const Rank& rank, const std::string& data) {
  engine::TrainConfig config;
  config.model = "yolov8n.yaml";
  config.data = data;
  config.run_dir = rank.attempt.run_dir;
  config.cache_dir = rank.attempt.cache_dir;
  config.epochs = job.epochs;
  config.batch = job.batch;
  config.imgsz = job.imgsz;
  config.workers = 2;
  return config;
}

engine::LabelConfig LabellingOf(const SelftestJob& job, const Rank& rank,
                                const std::string& images) {
  engine::LabelConfig config;
  config.models = {rank.attempt.run_dir + "/weights/best.pt"};
  config.sources = {images};
  config.out = rank.attempt.run_dir + "/labels";
  config.imgsz = job.imgsz;
  config.conf = 0.01;  // after so few epochs it is sure of nothing
  config.overwrite = true;
  config.workers = 2;
  return config;
}

class Checks {
 public:
  void Add(bool passed, const std::string& sentence) {
    passed_ = passed_ && passed;
    sentences_.push_back(absl::StrCat(passed ? "ok: " : "FAILED: ", sentence));
  }
  bool passed() const { return passed_; }
  const std::vector<std::string>& sentences() const { return sentences_; }

 private:
  bool passed_ = true;
  std::vector<std::string> sentences_;
};

Checks Judge(const SelftestJob& job, const Rank& rank, const nlohmann::json& train,
             const nlohmann::json& label) {
  Checks checks;
  const int epochs = train["epochs"];
  checks.Add(epochs == job.epochs,
             absl::StrFormat("trained %d of %d epochs at %.1f images/s", epochs, job.epochs,
                             train["imagesPerSecond"].get<double>()));
  const std::optional<engine::EpochReport>& last = rank.observer.last_epoch();
  const double loss = last ? last->box_loss + last->cls_loss + last->dfl_loss : NAN;
  checks.Add(std::isfinite(loss), absl::StrFormat("the last epoch's loss is %.3f", loss));
  const std::vector<double> sums = train["weightsChecksum"];
  const bool equal = std::all_of(sums.begin(), sums.end(),
                                 [&](double sum) { return sum == sums[0] && std::isfinite(sum); });
  checks.Add(equal, absl::StrCat("all ", sums.size(), " ranks hold the same weights"));
  const int64_t images = label["images"], failed = label["failed"];
  checks.Add(images == kValImages && failed == 0,
             absl::StrCat("labelled ", images - failed, " of ", kValImages, " images, ",
                          label["boxes"].get<int64_t>(), " boxes"));
  return checks;
}

}  // namespace

absl::StatusOr<TaskEnd> RunSelftestTask(const SelftestJob& job, Rank& rank) {
  const std::string folder = rank.attempt.run_dir + "/shapes";
  if (rank.leads()) {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);  // of an earlier attempt
    YOKE_RETURN_IF_ERROR(engine::WriteShapes({.out = folder,
                                              .train = kTrainImages,
                                              .val = kValImages,
                                              .size = std::min(job.imgsz, kDrawnSizeMax),
                                              .classes = kClasses}));
  }
  YOKE_RETURN_IF_ERROR(rank.group->Barrier());
  YOKE_ASSIGN_OR_RETURN(const TaskEnd trained,
                        RunTrainTask(TrainingOf(job, rank, folder + "/data.yaml"), rank));
  if (trained.stopped) return trained;
  // All of them see the weights that rank 0 wrote.
  YOKE_RETURN_IF_ERROR(rank.group->Barrier());
  YOKE_ASSIGN_OR_RETURN(TaskEnd end,
                        RunLabelTask(LabellingOf(job, rank, folder + "/images/val"), rank));
  if (end.stopped || !rank.leads()) return end;
  const Checks checks = Judge(job, rank, trained.result["train"], end.result["label"]);
  for (const std::string& sentence : checks.sentences()) rank.observer.OnLog(sentence);
  end.result = {{"selftest", {{"passed", checks.passed()}, {"checks", checks.sentences()}}}};
  if (!checks.passed())
    end.verdict = absl::InternalError("the self-test failed; its checks say where");
  return end;
}

}  // namespace yoke::worker
