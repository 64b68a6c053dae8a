// batch=-1: the fit, and the whole on ranks of this machine.
#include "server/engine/train/auto_batch.h"

#include <filesystem>
#include <fstream>
#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/data/shapes/shapes.h"
#include "server/engine/train/memory_gauge.h"
#include "server/engine/train/trainer.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/distributed/ranks.h"

namespace yoke::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Recorder : public Observer {
 public:
  void OnLog(const std::string& line) override { log += line + "\n"; }
  std::string log;
};

TEST(MeasureStep, IsTheLineThroughTheLargestBatches) {
  std::vector<int64_t> tried;
  const absl::StatusOr<StepMemory> memory = MeasureStep(1e6, [&](int64_t images) {
    tried.push_back(images);
    return std::optional(images < 4 ? 500.0 : 100.0 + 30.0 * static_cast<double>(images));
  });
  ASSERT_TRUE(memory.ok());
  EXPECT_THAT(tried, ElementsAre(1, 2, 4, 8, 16, 32));
  EXPECT_DOUBLE_EQ(memory->per_image, 30);
  EXPECT_DOUBLE_EQ(memory->fixed, 100);
}

TEST(MeasureStep, StopsAtHalfOfTheBudgetAndWhereMemoryEnds) {
  const auto line = [](int64_t images) { return std::optional(100.0 * static_cast<double>(images)); };
  int64_t largest = 0;
  ASSERT_TRUE(MeasureStep(1000, [&](int64_t images) {
                largest = images;
                return line(images);
              }).ok());
  EXPECT_EQ(largest, 8);
  const absl::StatusOr<StepMemory> memory = MeasureStep(1e9, [&](int64_t images) {
    return images > 4 ? std::nullopt : line(images);
  });
  ASSERT_TRUE(memory.ok());
  EXPECT_DOUBLE_EQ(memory->per_image, 100);
  const absl::Status nothing = MeasureStep(1e9, [](int64_t) { return std::optional<double>(); }).status();
  EXPECT_TRUE(absl::IsResourceExhausted(nothing));
  EXPECT_THAT(nothing.message(), HasSubstr("smaller imgsz"));
}

TEST(ImagesWithin, IsWhatFitsAndNeverNone) {
  EXPECT_EQ(ImagesWithin(1000, {.fixed = 100, .per_image = 90}), 10);
  EXPECT_EQ(ImagesWithin(999, {.fixed = 100, .per_image = 90}), 9);
  EXPECT_EQ(ImagesWithin(50, {.fixed = 100, .per_image = 90}), 1);
  EXPECT_EQ(ImagesWithin(1e12, {.fixed = 0, .per_image = 1}), kAutoBatchMax);
}

TEST(DensestTargets, AreThoseOfTheFullestImagesSideBySide) {
  Split split;
  split.samples.resize(3);
  split.samples[0].labels = {{0, 0.5f, 0.5f, 1, 1}};
  split.samples[1].labels = {{1, 0.5f, 0.5f, 1, 1}, {1, 0.25f, 0.25f, 0.1f, 0.1f}};
  const Targets one = DensestTargets(split, 1, 2);
  EXPECT_EQ(one.class_BM.sizes(), at::IntArrayRef({2, 2}));
  EXPECT_EQ(one.class_BM.min().item<int64_t>(), 1);
  const Targets four = DensestTargets(split, 4, 1);
  EXPECT_EQ(four.class_BM.sizes(), at::IntArrayRef({1, 3}));
  // The single object of the second fullest image: in the upper right quarter.
  EXPECT_TRUE(at::allclose(four.boxes_xywh_BM4[0][2], at::tensor({0.75f, 0.25f, 0.5f, 0.5f})));
}

TEST(MemoryGauge, SeesWhatIsTaken) {
  const auto gauge = MemoryGauge::For(at::kCPU);
  gauge->Reset();
  const int64_t before = gauge->Peak();
  constexpr int64_t kBytes = 200 << 20;
  { const at::Tensor some = at::ones({kBytes}, at::kByte); }
  EXPECT_GE(gauge->Peak() - before, kBytes * 9 / 10);
  EXPECT_GT(gauge->Free(), 0);
}

class AutoBatch : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(WriteShapes({.out = folder_.path() + "/shapes", .train = 12, .val = 4, .size = 64,
                             .classes = 2}).ok());
    config_.model = "yolov8n.yaml";
    config_.data = folder_.path() + "/shapes/data.yaml";
    config_.run_dir = folder_.path() + "/run";
    config_.cache_dir = folder_.path() + "/cache";
    config_.epochs = 1;
    config_.batch = -1;
    config_.imgsz = 64;
    config_.workers = 1;
    config_.amp = "off";
  }

  TempFolder folder_;
  TrainConfig config_;
};

TEST_F(AutoBatch, TrainsWithWhatWasFoundAndMeasuresOnce) {
  for (const bool again : {false, true}) {
    Recorder observer;
    RunAsRanks(1, [&](Group& alone) {
      const absl::StatusOr<TrainResult> result =
          RunTraining(config_, at::kCPU, alone, observer, StopSignal());
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->batch, 12) << "all images, for this machine has room for more";
    });
    EXPECT_THAT(observer.log, HasSubstr("found by batch=-1"));
    EXPECT_EQ(observer.log.find("measured before") != std::string::npos, again);
  }
}

TEST_F(AutoBatch, IsWhatTheRankWithTheLeastMemoryCanTake) {
  std::vector<int64_t> batches(2);
  RunAsRanks(2, [&](Group& group) {
    TrainConfig config = config_;
    config.cache_dir += std::to_string(group.rank());
    const absl::StatusOr<Split> split =
        ScanSplit({folder_.path() + "/shapes/images/train"}, {.class_count = 2});
    ASSERT_TRUE(split.ok()) << split.status();
    Observer silent;
    const DetectionLoss loss({.class_count = 2});
    // What was measured on an earlier day decides, so that ranks can be told apart here.
    ASSERT_TRUE(FindBatch(config, {'n', 2}, *split, loss, at::kCPU, group, silent).ok());
    for (const auto& file : std::filesystem::directory_iterator(config.cache_dir)) {
      if (group.rank() == 1) std::ofstream(file.path()) << "0 1000000000000000\n";
    }
    const absl::StatusOr<int64_t> batch =
        FindBatch(config, {'n', 2}, *split, loss, at::kCPU, group, silent);
    ASSERT_TRUE(batch.ok()) << batch.status();
    batches[static_cast<size_t>(group.rank())] = *batch;
  });
  EXPECT_THAT(batches, ElementsAre(2, 2));
}

}  // namespace
}  // namespace yoke::engine
