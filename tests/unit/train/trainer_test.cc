// Whole trainings on a few drawn images: what they leave behind, and that stopping changes nothing.
#include "server/engine/train/trainer.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/data/shapes/shapes.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/train/stop_after.h"

namespace yoke::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Recorder : public Observer {
 public:
  void OnStep(const StepReport& report) override { steps.push_back(report); }
  void OnEpoch(const EpochReport& report) override { epochs.push_back(report); }
  void OnLog(const std::string& line) override { log.push_back(line); }
  std::vector<StepReport> steps;
  std::vector<EpochReport> epochs;
  std::vector<std::string> log;
};

std::string Slurp(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class TrainerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::Status drawn = WriteShapes(
        {.out = folder_.path() + "/shapes", .train = 12, .val = 4, .size = 64, .classes = 2});
    ASSERT_TRUE(drawn.ok()) << drawn;
    group_ = *MakeGroup({});
  }

  TrainConfig Config(const std::string& run, int epochs) const {
    TrainConfig config;
    config.model = "yolov8n.yaml";
    config.data = folder_.path() + "/shapes/data.yaml";
    config.run_dir = absl::StrCat(folder_.path(), "/", run);
    config.epochs = epochs;
    config.batch = 4;
    config.imgsz = 64;
    config.workers = 2;
    config.optimizer = "SGD";
    config.nbs = 8;
    return config;
  }

  absl::StatusOr<TrainResult> Train(const TrainConfig& config, const StopSignal& stop = {}) {
    return RunTraining(config, at::kCPU, *group_, recorder_, stop);
  }

  TempFolder folder_;
  std::shared_ptr<Group> group_;
  Recorder recorder_;
};

TEST_F(TrainerTest, LeavesAWholeRunFolder) {
  const TrainConfig config = Config("run", 2);
  const absl::StatusOr<TrainResult> result = Train(config);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->epochs, 2);
  EXPECT_FALSE(result->stopped);
  EXPECT_EQ(recorder_.steps.size(), 6u);
  EXPECT_GT(result->images_per_second, 0);
  for (const char* stage : {"load", "forward", "val", "decode", "augment"})
    EXPECT_GT(result->stage_seconds.at(stage), 0) << stage;
  EXPECT_GT(recorder_.steps[0].stage_seconds.at("decode"), 0);

  const std::vector<std::string> lines =
      absl::StrSplit(Slurp(config.run_dir + "/results.csv"), '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], StartsWith("epoch,time,train/box_loss,"));
  EXPECT_THAT(lines[2], StartsWith("2,"));
  EXPECT_THAT(Slurp(config.run_dir + "/args.yaml"), HasSubstr("epochs: 2\n"));
  for (const char* name : {"best.pt", "last.pt"}) {
    const auto weights = ReadWeights(config.run_dir + "/weights/" + name);
    ASSERT_TRUE(weights.ok()) << weights.status();
    EXPECT_THAT(weights->names, ElementsAre("circle", "square"));
  }
}

TEST_F(TrainerTest, WithoutValidationTheLastEpochIsValidated) {
  TrainConfig config = Config("unseen", 2);
  config.val = false;
  const absl::StatusOr<TrainResult> result = Train(config);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(recorder_.epochs.size(), 2u);
  EXPECT_EQ(recorder_.epochs[0].val_box_loss, 0);
  EXPECT_GT(recorder_.epochs[1].val_box_loss, 0);
  EXPECT_EQ(result->best_epoch, 2);

  // Where there are no images for it, none is.
  ASSERT_GT(std::filesystem::remove_all(folder_.path() + "/shapes/images/val"), 0u);
  config.run_dir += "2";
  const absl::StatusOr<TrainResult> none = Train(config);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(recorder_.epochs.back().val_box_loss, 0);
  EXPECT_EQ(none->best_epoch, 0);
}

TEST_F(TrainerTest, StopAndResumeEndsWhereAnUninterruptedRunDoes) {
  const absl::StatusOr<TrainResult> whole = Train(Config("whole", 3));
  ASSERT_TRUE(whole.ok()) << whole.status();

  // Three iterations an epoch: in the middle of the second, and in its validation.
  for (const size_t steps : {4, 6}) {
    SCOPED_TRACE(steps);
    recorder_.steps.clear();
    recorder_.epochs.clear();
    TrainConfig config = Config(absl::StrCat("parts", steps), 3);
    const absl::StatusOr<TrainResult> stopped = Train(config, StopAfter(recorder_.steps, steps));
    ASSERT_TRUE(stopped.ok()) << stopped.status();
    EXPECT_TRUE(stopped->stopped);
    EXPECT_EQ(stopped->epochs, 1);
    EXPECT_EQ(recorder_.epochs.size(), 1u) << "an epoch that was not validated is not told of";
    EXPECT_TRUE(std::filesystem::exists(config.run_dir + "/weights/last.pt"));

    recorder_.epochs.clear();
    config.resume = config.run_dir + "/weights/last.pt";
    const absl::StatusOr<TrainResult> resumed = Train(config);
    ASSERT_TRUE(resumed.ok()) << resumed.status();
    ASSERT_EQ(recorder_.epochs.size(), 2u);
    EXPECT_EQ(recorder_.epochs[0].epoch, 2);
    EXPECT_GT(recorder_.epochs[0].box_loss, 0);
    EXPECT_GT(recorder_.epochs[0].val_box_loss, 0);
    EXPECT_EQ(resumed->epochs, 3);
    EXPECT_EQ(resumed->weights_checksum, whole->weights_checksum);
    const std::vector<std::string> rows =
        absl::StrSplit(Slurp(config.run_dir + "/results.csv"), '\n', absl::SkipEmpty());
    EXPECT_EQ(rows.size(), 4u);
  }
}

TEST_F(TrainerTest, StoppedInItsFirstEpochItKeepsWhatItLearnt) {
  TrainConfig config = Config("first", 2);
  const absl::StatusOr<TrainResult> stopped = Train(config, StopAfter(recorder_.steps, 1));
  ASSERT_TRUE(stopped.ok()) << stopped.status();
  EXPECT_EQ(stopped->epochs, 0);
  config.resume = config.run_dir;
  const absl::StatusOr<TrainResult> resumed = Train(config);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(resumed->epochs, 2);
}

TEST_F(TrainerTest, AResumeOfAFinishedRunIsRefused) {
  TrainConfig config = Config("done", 1);
  ASSERT_TRUE(Train(config).ok());
  config.resume = config.run_dir;
  config.run_dir = folder_.path() + "/again";
  EXPECT_THAT(Train(config).status().message(), HasSubstr("give epochs= more than that"));
}

TEST_F(TrainerTest, AResumeWithoutStateSaysWhatToDo) {
  TrainConfig config = Config("none", 1);
  config.resume = folder_.path() + "/shapes";
  EXPECT_EQ(Train(config).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(TrainerTest, AnInfiniteRateIsAnErrorThatKeepsTheLastEpoch) {
  TrainConfig config = Config("diverges", 30);
  config.lr0 = 1e30;
  config.warmup_epochs = 0;
  const absl::StatusOr<TrainResult> result = Train(config);
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.status().message(), HasSubstr("lower lr0"));
}

TEST_F(TrainerTest, StopsWhenItsTimeIsUpAndFitsTheEpochsToIt) {
  TrainConfig config = Config("timed", 1000);
  config.time_hours = 3.0 / 3600;
  const absl::StatusOr<TrainResult> result = Train(config);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->stopped);
  EXPECT_GE(result->epochs, 1);
  EXPECT_LT(result->epochs, 1000);
  EXPECT_LT(recorder_.epochs.back().epochs, 1000);
  EXPECT_TRUE(std::filesystem::exists(config.run_dir + "/weights/last.pt"));
}

TEST_F(TrainerTest, TrainsInBatchesOfChangingSize) {
  TrainConfig config = Config("sizes", 2);
  config.multi_scale = 0.5;
  const absl::StatusOr<TrainResult> result = Train(config);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->epochs, 2);
}

TEST_F(TrainerTest, FrozenLayersStayAsTheyWere) {
  TrainConfig config = Config("frozen", 1);
  for (int i = 0; i < 22; ++i) config.freeze_layers.push_back(i);
  config.recipe.freeze_bn = true;
  const auto before = DetectionModel::Create({'n', 2});
  ASSERT_TRUE(Train(config).ok());
  const auto weights = ReadWeights(config.run_dir + "/weights/last.pt");
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_TRUE(at::allclose(weights->state.at("model.0.bn.running_var"), at::full({16}, 0.9), 1e-3));
  EXPECT_TRUE(at::allclose(weights->state.at("model.0.bn.weight"), at::ones({16})));
  EXPECT_FALSE(at::allclose(weights->state.at("model.22.cv3.0.0.bn.running_var"),
                            at::full({64}, 0.9), 1e-3));
}

TEST_F(TrainerTest, NothingLeftToTrainIsRefused) {
  TrainConfig config = Config("all_frozen", 1);
  for (int i = 0; i < 23; ++i) config.freeze_layers.push_back(i);
  EXPECT_THAT(Train(config).status().message(), HasSubstr("freeze fewer layers"));
}

// What half precision needs is there on CPUs too, if slow.
TEST_F(TrainerTest, TrainsInReducedPrecision) {
  for (const char* amp : {"bf16", "fp16"}) {
    TrainConfig config = Config(amp, 1);
    config.amp = amp;
    const absl::StatusOr<TrainResult> result = Train(config);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->precision, amp);
    EXPECT_TRUE(std::isfinite(recorder_.epochs.back().box_loss));
    EXPECT_EQ(result->rollbacks, 0);
  }
}

TEST_F(TrainerTest, AnUnknownModelNameNamesTheKnownOnes) {
  TrainConfig config = Config("unknown", 1);
  config.model = "yolov9c.yaml";
  EXPECT_THAT(Train(config).status().message(), HasSubstr("yolov8n.yaml"));
}

}  // namespace
}  // namespace yoke::engine
