#include "server/engine/plots/run_plots.h"

#include <filesystem>
#include <fstream>
#include <set>

#include "gtest/gtest.h"
#include "server/engine/data/image.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

Batch SmallBatch() {
  Batch batch;
  batch.count = 2;
  batch.width = batch.height = 32;
  batch.images.resize(2);
  batch.images[1].sample = 1;
  batch.pixels.assign(size_t{2} * 3 * 32 * 32, 90);
  batch.labels = {{0, 0, 0.5f, 0.5f, 0.5f, 0.5f}};
  return batch;
}

struct Evaluated {
  Curves curves;
  ConfusionMatrix confusion;
};
Evaluated EvaluatedOf(int classes) {
  Evaluated e;
  for (int i = 0; i < classes; ++i) {
    ClassCurve curve{.class_id = i, .name = "c"};
    for (auto of : {&ClassCurve::precision, &ClassCurve::recall, &ClassCurve::f1,
                    &ClassCurve::precision_at_recall}) {
      (curve.*of).assign(kCurvePoints, 0.5f);
    }
    e.curves.classes.push_back(curve);
  }
  e.confusion.classes = classes;
  e.confusion.counts.assign(static_cast<size_t>(classes + 1) * (classes + 1), 1);
  return e;
}

std::set<std::string> FilesIn(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.insert(entry.path().filename().string());
  return names;
}

class RunPlotsTest : public testing::Test {
 protected:
  RunPlotsTest() {
    split_.samples.resize(2);
    for (Sample& sample : split_.samples) sample.image_path = "/data/images/photo.jpg";
    split_.samples[0].labels = {{0, 0.5f, 0.5f, 0.2f, 0.2f}};
  }
  // 12 epochs of 5 batches, the last 4 without mosaic.
  RunPlots::Options Options() {
    RunPlots::Options options;
    options.run_dir = folder_.path();
    options.names = {"ball"};
    options.train = options.val = &split_;
    options.epochs = 12;
    options.batches_per_epoch = 5;
    options.close_mosaic_from = 8;
    options.warn = [this](const std::string& warning) { warnings_.push_back(warning); };
    options.on_picture = [this](const Picture& picture) { pictures_.push_back(picture); };
    return options;
  }

  TempFolder folder_;
  Split split_;
  std::vector<std::string> warnings_;
  std::vector<Picture> pictures_;
};

TEST_F(RunPlotsTest, LeavesTheReferencesFiles) {
  std::ofstream(folder_.path() + "/results.csv") << "epoch,train/box_loss\n1,0.5\n";
  RunPlots plots(Options());
  const Batch batch = SmallBatch();
  plots.Start();
  for (int epoch = 0; epoch < 12; ++epoch) {
    for (int64_t position = 0; position < 5; ++position) plots.OnTrainBatch(epoch, position, batch);
    for (int64_t position = 0; position < 4; ++position) {
      plots.OnValBatch(epoch, position, batch, {{{5, 5, 20, 20, 0.9f, 0}}, {}});
    }
  }
  const Evaluated e = EvaluatedOf(1);
  plots.Finish(e.curves, e.confusion);
  EXPECT_EQ(FilesIn(folder_.path()),
            (std::set<std::string>{"BoxF1_curve.png",      "BoxPR_curve.png",
                                   "BoxP_curve.png",       "BoxR_curve.png",
                                   "confusion_matrix.png", "confusion_matrix_normalized.png",
                                   "labels.jpg",           "results.csv",
                                   "results.png",          "train_batch0.jpg",
                                   "train_batch1.jpg",     "train_batch2.jpg",
                                   "train_batch40.jpg",    "train_batch41.jpg",
                                   "train_batch42.jpg",    "val_batch0_labels.jpg",
                                   "val_batch0_pred.jpg",  "val_batch1_labels.jpg",
                                   "val_batch1_pred.jpg",  "val_batch2_labels.jpg",
                                   "val_batch2_pred.jpg"}));
  EXPECT_TRUE(warnings_.empty()) << warnings_.front();
  for (const Picture& picture : pictures_) {
    const absl::StatusOr<cv::Mat> image = DecodeImage(absl::MakeConstSpan(
        reinterpret_cast<const uint8_t*>(picture.bytes.data()), picture.bytes.size()));
    ASSERT_TRUE(image.ok()) << picture.name << ": " << image.status();
    EXPECT_EQ(image->size(), cv::Size(picture.width, picture.height)) << picture.name;
  }
}

TEST_F(RunPlotsTest, DrawsPredictionsAFewTimesAndLabelsOnce) {
  RunPlots::Options options = Options();
  options.epochs = 100;
  RunPlots plots(options);
  std::set<int> epochs;
  for (int epoch = 0; epoch < 100; ++epoch) plots.OnValBatch(epoch, 0, SmallBatch(), {});
  size_t labels = 0;
  for (const Picture& picture : pictures_) {
    if (picture.name == "val_batch0_labels") ++labels;
    if (picture.name == "val_batch0_pred") epochs.insert(picture.epoch);
  }
  EXPECT_EQ(labels, 1u);
  EXPECT_EQ(epochs, (std::set<int>{1, 21, 41, 61, 81, 100}));
}

TEST_F(RunPlotsTest, WantsWhatItDraws) {
  RunPlots::Options options = Options();
  options.close_mosaic_from = -1;
  const RunPlots plots(options);
  EXPECT_TRUE(plots.WantsTrainBatch(0, 2));
  EXPECT_FALSE(plots.WantsTrainBatch(0, 3));
  EXPECT_FALSE(plots.WantsTrainBatch(8, 0));
  EXPECT_TRUE(RunPlots(Options()).WantsTrainBatch(8, 0));
  options.batches_per_epoch = 1;
  EXPECT_TRUE(RunPlots(options).WantsTrainBatch(2, 0));  // the third iteration
  EXPECT_FALSE(plots.WantsValBatch(0, 3));
  EXPECT_FALSE(plots.WantsValBatch(1, 0));
  EXPECT_TRUE(plots.WantsValBatch(11, 0));
  EXPECT_TRUE(plots.WantsValBatch(-1, 2));
}

TEST_F(RunPlotsTest, AValidationAloneNeedsNoTraining) {
  RunPlots plots({.run_dir = folder_.path(), .names = {"ball"}, .val = &split_});
  plots.Start();
  plots.OnValBatch(-1, 0, SmallBatch(), {});
  const Evaluated e = EvaluatedOf(1);
  plots.Finish(e.curves, e.confusion);
  EXPECT_FALSE(fs::exists(folder_.path() + "/labels.jpg"));
  EXPECT_FALSE(fs::exists(folder_.path() + "/results.png"));
  EXPECT_TRUE(fs::exists(folder_.path() + "/val_batch0_pred.jpg"));
  EXPECT_TRUE(fs::exists(folder_.path() + "/confusion_matrix.png"));
}

TEST_F(RunPlotsTest, WarnsOnceThatAFolderIsGoneAndGoesOn) {
  RunPlots::Options options = Options();
  options.run_dir = "/nowhere/at/all";
  RunPlots plots(options);
  plots.Start();
  plots.OnTrainBatch(0, 0, SmallBatch());
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_NE(warnings_[0].find("/nowhere/at/all/labels.jpg"), std::string::npos) << warnings_[0];
  EXPECT_TRUE(pictures_.empty());
}

TEST_F(RunPlotsTest, HasNothingToDrawOfAnEmptyEvaluation) {
  RunPlots plots(Options());
  plots.Finish(Curves(), ConfusionMatrix());
  EXPECT_TRUE(FilesIn(folder_.path()).empty());
  EXPECT_TRUE(warnings_.empty());
}

}  // namespace
}  // namespace yoke::engine
