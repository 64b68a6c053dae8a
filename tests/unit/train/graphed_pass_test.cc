// Recording and replaying a pass, with a stand-in for the device's graphs: it keeps the work and
// does it again.
#include "server/engine/train/graphed_pass.h"

#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/data/shapes/shapes.h"
#include "server/engine/train/trainer.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/distributed/ranks.h"

namespace yoke::engine {
namespace {

using ::testing::HasSubstr;

// Recording does nothing on a device; here `undo` takes back what it did.
class RepeatedWork : public StepGraph {
 public:
  struct Counts {
    int recorded = 0, replayed = 0;
  };
  RepeatedWork(Counts& counts, std::function<void()> undo)
      : counts_(counts), undo_(std::move(undo)) {}

  void Record(const std::function<void()>& work) override {
    ++counts_.recorded;
    work_ = work;
    work_();
    undo_();
  }
  void Replay() override {
    ++counts_.replayed;
    work_();
  }

 private:
  Counts& counts_;
  const std::function<void()> undo_;
  std::function<void()> work_;
};

class GraphedPassTest : public ::testing::Test {
 protected:
  static Targets Boxes(int64_t most, int64_t class_id = 1) {
    return {at::full({2, most}, class_id, at::kLong), at::rand({2, most, 4})};
  }
  static at::Tensor Images(int64_t side = 4) { return at::rand({2, 3, side, side}); }

  // Adds up like gradients do; its items tell what it was given.
  at::Tensor Pass(const at::Tensor& images, const Targets& targets) {
    at::Tensor items = at::stack(
        {images.sum(), targets.boxes_xywh_BM4.sum(), targets.class_BM.sum().to(at::kFloat)});
    gradient_ += items[0];
    return items;
  }

  GraphedPass Make() {
    return GraphedPass(
        [this]() -> std::unique_ptr<StepGraph> {
          if (fails_)
            throw std::runtime_error("operation would wait for the device\nat kernel.cu:1");
          return std::make_unique<RepeatedWork>(
              counts_, [this, before = gradient_.clone()] { gradient_.copy_(before); });
        },
        [this](const at::Tensor& images, const Targets& targets) { return Pass(images, targets); });
  }

  void ExpectSame(GraphedPass& graphed, const at::Tensor& images, const Targets& targets) {
    const at::Tensor before = gradient_.clone();
    const at::Tensor items = graphed.Run(images, targets);
    EXPECT_TRUE(at::allclose(items, at::stack({images.sum(), targets.boxes_xywh_BM4.sum(),
                                               targets.class_BM.sum().to(at::kFloat)})));
    EXPECT_TRUE(at::allclose(gradient_ - before, images.sum(), 1e-4, 1e-3)) << "once";
  }

  RepeatedWork::Counts counts_;
  bool fails_ = false;
  at::Tensor gradient_ = at::zeros({});
};

TEST_F(GraphedPassTest, ReplaysWithTheValuesOfEachBatchOnceItIsWarm) {
  GraphedPass graphed = Make();
  for (int i = 0; i < GraphedPass::kWarmUps; ++i) ExpectSame(graphed, Images(), Boxes(3));
  EXPECT_EQ(counts_.recorded, 0);
  for (const int64_t boxes : {3, 16, 0, 1}) ExpectSame(graphed, Images(), Boxes(boxes));
  EXPECT_EQ(counts_.recorded, 1);
  EXPECT_EQ(counts_.replayed, 4);
}

TEST_F(GraphedPassTest, RecordsSomeShapesAndPassesTheOthers) {
  GraphedPass graphed = Make();
  for (int64_t side = 1; side <= static_cast<int64_t>(GraphedPass::kGraphsMax) + 2; ++side) {
    for (int i = 0; i < GraphedPass::kWarmUps + 2; ++i) ExpectSame(graphed, Images(side), Boxes(3));
  }
  EXPECT_EQ(counts_.recorded, static_cast<int>(GraphedPass::kGraphsMax));
}

TEST_F(GraphedPassTest, GoesOnWithoutWhereRecordingFails) {
  fails_ = true;
  GraphedPass graphed = Make();
  for (int i = 0; i < GraphedPass::kWarmUps + 3; ++i) ExpectSame(graphed, Images(), Boxes(3));
  EXPECT_EQ(graphed.failure(), "operation would wait for the device");
}

class Recorder : public Observer {
 public:
  void OnStep(const StepReport& report) override { boxes.push_back(report.box_loss); }
  void OnWarning(const std::string& sentence) override { warnings += sentence + "\n"; }
  std::vector<double> boxes;
  std::string warnings;
};

TEST(GraphedTraining, IsTheSameTraining) {
  const TempFolder folder;
  ASSERT_TRUE(
      WriteShapes(
          {.out = folder.path() + "/shapes", .train = 16, .val = 4, .size = 64, .classes = 2})
          .ok());
  TrainConfig config;
  config.model = "yolov8n.yaml";
  config.data = folder.path() + "/shapes/data.yaml";
  config.epochs = 2;
  config.batch = 4;
  config.nbs = 8;
  config.imgsz = 64;
  config.workers = 1;
  config.optimizer = "SGD";
  config.amp = "off";
  config.cuda_graphs = true;
  RepeatedWork::Counts counts;
  Recorder plain, replayed;
  double checksums[2] = {};
  for (const bool graphs : {false, true}) {
    Recorder& recorder = graphs ? replayed : plain;
    config.run_dir = absl::StrCat(folder.path(), "/run", graphs);
    RunAsRanks(1, [&](Group& alone) {
      at::set_num_threads(1);
      absl::StatusOr<TrainingSetup> setup = SetUpTraining(config, at::kCPU, alone, recorder);
      ASSERT_TRUE(setup.ok()) << setup.status();
      const at::Tensor gradients = setup->flat->gradients(), buffers = setup->flat->buffers();
      if (graphs) {
        setup->make_graph = [&counts, gradients, buffers] {
          const at::Tensor gradients_before = gradients.clone(), buffers_before = buffers.clone();
          return std::make_unique<RepeatedWork>(counts, [=] {
            const at::NoGradGuard no_gradients;
            at::Tensor(gradients).copy_(gradients_before);
            at::Tensor(buffers).copy_(buffers_before);
          });
        };
      }
      const absl::StatusOr<TrainResult> result =
          RunTraining(*std::move(setup), at::kCPU, alone, recorder, StopSignal());
      ASSERT_TRUE(result.ok()) << result.status();
      checksums[graphs] = result->weights_checksum;
    });
  }
  EXPECT_THAT(plain.warnings, HasSubstr("cuda_graphs=True has no effect here"));
  EXPECT_EQ(counts.recorded, 1);
  EXPECT_GE(counts.replayed, 4);
  ASSERT_EQ(plain.boxes.size(), replayed.boxes.size());
  for (size_t i = 0; i < plain.boxes.size(); ++i)
    EXPECT_NEAR(plain.boxes[i], replayed.boxes[i], 1e-4) << i;
  EXPECT_NEAR(checksums[0], checksums[1], 1e-5 * checksums[0]);
}

}  // namespace
}  // namespace yoke::engine
