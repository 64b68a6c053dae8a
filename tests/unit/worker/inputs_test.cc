#include "server/worker/inputs.h"

#include <filesystem>

#include "common/os/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/worker/banner.h"
#include "tests/support/temp_folder.h"

namespace yoke::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Inputs : public ::testing::Test {
 protected:
  std::string Touch(const std::string& name) const {
    const std::string path = folder_.path() + "/" + name;
    EXPECT_TRUE(os::MakeDirs(os::FolderOf(path)).ok());
    EXPECT_TRUE(os::AtomicWriteFile(path, "x").ok());
    return path;
  }
  std::string At(const std::string& name) const { return folder_.path() + "/" + name; }
  ipc::AttemptSpec Attempt(int ranks = 1) const {
    ipc::AttemptSpec attempt;
    attempt.run_dir = At("run");
    attempt.cache_dir = At("state/cache");
    for (int i = 0; i < ranks; ++i) {
      attempt.ranks.push_back({{"cpu:" + std::to_string(i)}, 1});
      attempt.device_words.push_back("CPU slot " + std::to_string(i));
    }
    return attempt;
  }
  static std::string Refusal(const absl::Status& status) {
    EXPECT_FALSE(status.ok());
    return std::string(status.message());
  }
  Job Training(const std::string& resume) const {
    engine::TrainConfig train;
    train.model = "yolov8n.yaml";
    train.data = At("data.yaml");
    train.resume = resume;
    return {train, "0", {}};
  }

  TempFolder folder_;
};

TEST_F(Inputs, ADataSetIsAFileANameOrAFolder) {
  const std::string yaml = Touch("set/pets.yaml");
  EXPECT_EQ(FindData(yaml).value(), yaml);
  EXPECT_EQ(FindData(At("set/pets")).value(), yaml);
  EXPECT_EQ(FindData(At("set/")).value(), yaml);
  Touch("set/more.yaml");
  EXPECT_THAT(Refusal(FindData(At("set")).status()), HasSubstr("several YAML files; name one"));
  Touch("bare/readme.txt");
  EXPECT_THAT(Refusal(FindData(At("bare")).status()), HasSubstr("holds no YAML"));
  EXPECT_THAT(Refusal(FindData(At("none")).status()), HasSubstr("none.yaml"));
}

TEST_F(Inputs, WeightsThatAreMissingHaveAPlaceToBePut) {
  const std::vector<std::string> dirs = {At("state/weights")};
  const absl::StatusOr<std::string> missing = FindModel("yolov8n.pt", dirs);
  EXPECT_TRUE(absl::IsNotFound(missing.status()));
  EXPECT_THAT(Refusal(missing.status()), HasSubstr("put it in " + At("state/weights")));
  EXPECT_THAT(Refusal(FindModel(At("w/best.pt"), dirs).status()),
              HasSubstr(At("w/best.pt") + ": no such file; put the weights there"));
  const std::string put = Touch("state/weights/yolov8n.pt");
  EXPECT_EQ(FindModel("yolov8n.pt", dirs).value(), put);
  EXPECT_EQ(FindModel("yolov8x.yaml", dirs).value(), "yolov8x.yaml");
}

TEST_F(Inputs, AResumedTrainingTakesItsModelFromTheRunUnlessOneWasGiven) {
  Touch("data.yaml");
  Touch("old/checkpoints/a.ckpt");
  const std::string last = Touch("old/weights/last.pt");
  for (const std::string& resume : {At("old"), last}) {
    Job job = Training(resume);
    ASSERT_TRUE(ResolveInputs(Attempt(), job).ok());
    EXPECT_EQ(std::get<engine::TrainConfig>(job.task).model, last);
  }
  Job given = Training(At("old"));
  std::get<engine::TrainConfig>(given.task).user_set = {"model"};
  ASSERT_TRUE(ResolveInputs(Attempt(), given).ok());
  EXPECT_EQ(std::get<engine::TrainConfig>(given.task).model, "yolov8n.yaml");
}

TEST_F(Inputs, AResumeWithoutStateIsRefusedButARetryStartsAfresh) {
  Touch("data.yaml");
  Touch("weights-only/weights/last.pt");
  Job job = Training(At("weights-only"));
  EXPECT_THAT(Refusal(ResolveInputs(Attempt(), job)), HasSubstr("give them as model="));
  job = Training(At("nowhere"));
  EXPECT_THAT(Refusal(ResolveInputs(Attempt(), job)), HasSubstr("no such run folder"));
  Job retry = Training(At("run"));
  ASSERT_TRUE(ResolveInputs(Attempt(), retry).ok());
  EXPECT_EQ(std::get<engine::TrainConfig>(retry.task).resume, "");
  EXPECT_THAT(retry.warnings, ElementsAre(HasSubstr("starting afresh")));
}

TEST_F(Inputs, LabellingValidationAndExportNeedWeights) {
  const std::string yaml = Touch("data.yaml");
  engine::LabelConfig label;
  label.models = {"yolov8n.yaml"};
  Job job{label, "0", {}};
  EXPECT_THAT(Refusal(ResolveInputs(Attempt(), job)), HasSubstr("labelling needs a .pt"));
  label.models = {Touch("best.pt")};
  label.sources = {At("no photos")};
  job.task = label;
  EXPECT_THAT(Refusal(ResolveInputs(Attempt(), job)),
              HasSubstr(At("no photos") + ": no such folder"));
  engine::ValConfig val;
  val.data = yaml;
  val.models = {"yolov8n.yaml"};
  job.task = val;
  EXPECT_THAT(Refusal(ResolveInputs(Attempt(), job)), HasSubstr("validation needs a .pt"));
  engine::ExportConfig exported;
  exported.model = "yolov8n.yaml";
  job.task = exported;
  EXPECT_THAT(Refusal(ResolveInputs(Attempt(), job)), HasSubstr("an export needs a .pt"));
}

TEST_F(Inputs, BannerSaysDevicesBatchAndMethod) {
  Job job = Training("");
  std::get<engine::TrainConfig>(job.task).batch = 64;
  EXPECT_THAT(BannerLines(Attempt(2), job),
              ElementsAre("CPU devices: 2", "Devices: CPU slot 0, CPU slot 1",
                          "No GPU on this machine: device=0 means CPU slots", "Total batch: 64",
                          "Batch per device: 32", "Method: DDP (gloo)"));
  ipc::AttemptSpec gpus = Attempt(4);
  for (size_t i = 0; i < 4; ++i) {
    gpus.ranks[i].devices = {"GPU-" + std::to_string(i)};
    gpus.device_words[i] = "GPU " + std::to_string(i);
  }
  job.device = "0,1,2,3";
  EXPECT_THAT(BannerLines(gpus, job),
              ElementsAre("GPUs: 4", "Devices: GPU 0, GPU 1, GPU 2, GPU 3", "Total batch: 64",
                          "Batch per device: 16", "Method: DDP (NCCL)"));
  job.device = "cpu";
  EXPECT_THAT(BannerLines(Attempt(1), job),
              ElementsAre("CPU devices: 1", "Devices: CPU slot 0", "Total batch: 64",
                          "Batch per device: 64", "Method: single device"));
}

}  // namespace
}  // namespace yoke::worker
