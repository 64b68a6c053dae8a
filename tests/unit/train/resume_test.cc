// Which data a run may be continued with, and what its weights say about it and about their
// classes.
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/checkpoint/torch_archive.h"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/data/shapes/shapes.h"
#include "server/engine/train/trainer.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

class LogRecorder : public Observer {
 public:
  void OnLog(const std::string& line) override { log.push_back(line); }
  std::vector<std::string> log;
};

class ResumeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::Status drawn =
        WriteShapes({.out = Path("shapes"), .train = 4, .val = 2, .size = 64, .classes = 2});
    ASSERT_TRUE(drawn.ok()) << drawn;
    group_ = *MakeGroup({});
  }
  std::string Path(const std::string& name) const {
    return absl::StrCat(folder_.path(), "/", name);
  }
  void Edit(const std::string& name, const std::string& from, const std::string& to) {
    std::ifstream in(Path(name));
    const std::string text(std::istreambuf_iterator<char>(in), {});
    std::ofstream(Path(name)) << absl::StrReplaceAll(text, {{from, to}});
  }
  TrainConfig Config(int epochs) const {
    TrainConfig config;
    config.model = "yolov8n.yaml";
    config.data = Path("shapes/data.yaml");
    config.run_dir = Path("run");
    config.epochs = epochs;
    config.batch = 4;
    config.imgsz = 32;
    config.workers = 1;
    config.optimizer = "SGD";
    return config;
  }
  absl::Status Train(const TrainConfig& config) {
    return RunTraining(config, at::kCPU, *group_, observer_, {}).status();
  }
  absl::Status Continue() {
    TrainConfig config = Config(2);
    config.resume = config.run_dir;
    config.data = Path("moved/data.yaml");
    return Train(config);
  }

  TempFolder folder_;
  std::shared_ptr<Group> group_;
  LogRecorder observer_;
};

TEST_F(ResumeTest, GoesOnWithItsDataWhereverThatLiesAndWithNoOther) {
  ASSERT_TRUE(Train(Config(1)).ok());
  fs::rename(Path("shapes"), Path("moved"));
  fs::copy(Path("moved"), Path("kept"), fs::copy_options::recursive);
  const auto put_back = [&] {
    fs::remove_all(Path("moved"));
    fs::copy(Path("kept"), Path("moved"), fs::copy_options::recursive);
  };

  Edit("moved/data.yaml", "square", "oblong");
  absl::Status status = Continue();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("class 1 was 'square' and is 'oblong'"), HasSubstr("without resume")));

  put_back();
  const auto images = fs::directory_iterator(Path("moved/images/train"));
  fs::remove(images->path());
  status = Continue();
  EXPECT_THAT(std::string(status.message()), HasSubstr("of the 4 training images 1 removed"));

  put_back();
  status = Continue();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(ResumeTest, WeightsCarrySettingsMetricsAndResults) {
  ASSERT_TRUE(Train(Config(2)).ok());
  const auto archive = TorchArchive::Open(Path("run/weights/last.pt"));
  ASSERT_TRUE(archive.ok()) << archive.status();
  const formats::PickleNode& root = (*archive)->file().root();
  EXPECT_EQ(root.Find("train_args")->Find("imgsz")->integer, 32);
  EXPECT_EQ(root.Find("train_args")->Find("data")->text, Path("shapes/data.yaml"));
  EXPECT_EQ(root.Find("train_results")->Find("epoch")->items.size(), 2u);
  EXPECT_EQ(root.Find("train_results")->Find("val/dfl_loss")->items.size(), 2u);
  EXPECT_NE(root.Find("train_metrics")->Find("metrics/mAP50-95(B)"), nullptr);
  EXPECT_NE(root.Find("train_metrics")->Find("fitness"), nullptr);
}

TEST_F(ResumeTest, ATrainingFromOtherClassesSaysWhichItTakesOver) {
  ASSERT_TRUE(Train(Config(1)).ok());
  Edit("shapes/data.yaml", "circle", "Square ");  // ids change places
  Edit("shapes/data.yaml", "square", "disc");
  TrainConfig config = Config(1);
  config.model = Path("run/weights/last.pt");
  config.run_dir = Path("second");
  ASSERT_TRUE(Train(config).ok());
  EXPECT_THAT(observer_.log, Contains(HasSubstr("class weights by name (1 of 2 classes")));
  EXPECT_THAT(observer_.log, Contains(HasSubstr("  1 -> 0 Square")));
  EXPECT_THAT(observer_.log, Contains(HasSubstr("  new -> 1 disc")));
}

}  // namespace
}  // namespace yoke::engine
