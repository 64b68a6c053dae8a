#include "server/engine/label/labeler.h"

#include <atomic>
#include <filesystem>
#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"
#include "tests/support/unwritable_folder.h"
#include "tests/unit/data/pictures.h"
#include "tests/unit/distributed/ranks.h"
#include "tests/unit/label/finder.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Says stop from the `after`-th question on.
class StopAfter : public StopSignal {
 public:
  explicit StopAfter(int after) : after_(after) {}
  bool requested() const override { return asked_++ >= after_; }

 private:
  const int after_;
  mutable std::atomic<int> asked_ = 0;
};

class Labeler : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(1);
    WriteFinder(folder_ / "finder.pt", true);
    config_.models = {folder_ / "finder.pt"};
    config_.sources = {folder_ / "in"};
    config_.out = folder_ / "out";
    config_.imgsz = 64;
    config_.batch = 2;
    config_.workers = 2;
  }
  void Picture(const std::string& name, int width = 80, int height = 60) {
    folder_.Write("in/" + name, JpegBytes(engine::Picture(width, height)));
  }
  absl::StatusOr<LabelResult> Run(Group& group, RecordingObserver& observer,
                                  const StopSignal& stop = StopSignal()) {
    return RunLabel(config_, at::kCPU, group, observer, stop);
  }
  absl::StatusOr<LabelResult> Run() {
    observer_ = {};
    return Run(**MakeGroup({}), observer_);
  }
  // The files under the folder called `root`, each with its text.
  std::map<std::string, std::string> Files(const std::string& root) const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / root)) {
      if (!entry.is_regular_file()) continue;
      files[entry.path().lexically_relative(folder_ / root).string()] = ReadAll(entry.path());
    }
    return files;
  }

  TempFolder folder_;
  LabelConfig config_;
  RecordingObserver observer_;
};

TEST_F(Labeler, WritesOneFilePerImageInTheSourcesTree) {
  Picture("a.jpg");
  Picture("sub/b.JPEG", 60, 80);
  Picture("sub/deep/c.jpg", 200, 40);
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->images, 3);
  EXPECT_EQ(result->labelled, 3);
  EXPECT_GT(result->images_per_second, 0);
  EXPECT_FALSE(result->stopped);
  const auto files = Files("out");
  EXPECT_EQ(files.size(), 5u);
  EXPECT_EQ(files.at("classes.txt"), "cat\ndog\n");
  EXPECT_THAT(files.at("data.yaml"), HasSubstr("0: \"cat\""));
  int64_t lines = 0;
  for (const char* name : {"a.txt", "sub/b.txt", "sub/deep/c.txt"}) {
    EXPECT_THAT(files.at(name), ::testing::MatchesRegex("(1( [01]\\.[0-9]{6}){4}\n)+")) << name;
    lines += std::count(files.at(name).begin(), files.at(name).end(), '\n');
  }
  EXPECT_EQ(result->boxes, lines);
  EXPECT_THAT(observer_.phases, ElementsAre("label"));
  EXPECT_EQ(observer_.progress.back(), 3);
  EXPECT_EQ(observer_.total, 3);
}

TEST_F(Labeler, DoesNotLetAnImagesNeighboursChangeItsLabels) {
  for (int i = 0; i < 5; ++i) Picture("a" + std::to_string(i) + ".jpg", 80, 60 - 8 * i);
  config_.batch = 8;
  config_.save_conf = true;
  ASSERT_TRUE(Run().ok());
  const auto together = Files("out");
  config_.batch = 1;
  config_.out = folder_ / "alone";
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(Files("alone"), together);
  EXPECT_THAT(together.at("a0.txt"), ::testing::MatchesRegex("(1( [01]\\.[0-9]{6}){5}\n)+"));
}

TEST_F(Labeler, LeavesAnEmptyFileWhereNothingIsFound) {
  WriteFinder(folder_ / "blind.pt", false);
  config_.models = {folder_ / "blind.pt"};
  Picture("a.jpg");
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->empty, 1);
  EXPECT_EQ(result->labelled, 0);
  EXPECT_EQ(Files("out").at("a.txt"), "");
}

TEST_F(Labeler, KeepsExistingLabelsUnlessToldToOverwrite) {
  Picture("a.jpg");
  Picture("b.jpg");
  folder_.Write("in/c.jpg", "not opened, so not found to be broken");
  for (const char* name : {"out/a.txt", "out/c.txt"}) folder_.Write(name, "0 0.5 0.5 1 1\n");
  auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->kept, 2);
  EXPECT_EQ(result->labelled, 1);
  EXPECT_EQ(result->failed, 0);
  EXPECT_EQ(Files("out").at("a.txt"), "0 0.5 0.5 1 1\n");

  config_.overwrite = true;
  result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->kept, 0);
  EXPECT_EQ(result->labelled, 2);
  EXPECT_EQ(result->failed, 1);
  EXPECT_NE(Files("out").at("a.txt"), "0 0.5 0.5 1 1\n");
  EXPECT_EQ(Files("out").at("c.txt"), "0 0.5 0.5 1 1\n") << "an unreadable image lost its labels";
}

TEST_F(Labeler, PutsLabelsBesideTheImagesWithoutTouchingOtherTexts) {
  Picture("a.jpg");
  Picture("b.jpg");
  folder_.Write("in/b.txt", "a caption of b\n");
  config_.out = config_.sources[0];
  config_.overwrite = true;
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->labelled, 1);
  EXPECT_EQ(result->failed, 1);
  EXPECT_EQ(Files("in").at("b.txt"), "a caption of b\n");
  EXPECT_EQ(Files("in").count("a.txt"), 1u);
}

TEST_F(Labeler, NamesWhatItCannotReadAndGoesOn) {
  Picture("a.jpg");
  Picture("d.jpg");
  folder_.Write("in/b.jpg", "no picture at all");
  folder_.Write("in/c.jpg", JpegBytes(engine::Picture(80, 60)).substr(0, 1500));
  folder_.Write("in/d.png", JpegBytes(engine::Picture(80, 60)));
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->labelled, 2);
  EXPECT_EQ(result->failed, 3);
  EXPECT_THAT(result->failures,
              ElementsAre(AllOf(HasSubstr("in/b.jpg: ")), HasSubstr("in/c.jpg: truncated"),
                          AllOf(HasSubstr("in/d.png: "), HasSubstr("d.txt is for"))));
  EXPECT_EQ(observer_.warnings.size(), 3u);
  EXPECT_EQ(observer_.progress.back(), 5);
  EXPECT_EQ(Files("out").count("b.txt"), 0u);
}

TEST_F(Labeler, KeepsOnlyTheClassesAskedFor) {
  Picture("a.jpg");
  config_.classes = {0};
  auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->empty, 1);
  config_.classes = {2};
  result = Run();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("0 to 1"));
}

TEST_F(Labeler, SaysWhatCannotBeUsed) {
  EXPECT_EQ(Run().status().code(), absl::StatusCode::kNotFound) << "the source";
  Picture("a.jpg");
  config_.models = {folder_ / "missing.pt"};
  EXPECT_EQ(Run().status().code(), absl::StatusCode::kNotFound) << "the weights";
  config_.models = {folder_ / "finder.pt"};
  config_.imgsz = 65;
  EXPECT_EQ(Run().status().code(), absl::StatusCode::kInvalidArgument);
  config_.imgsz = 64;
  config_.amp = "fp16";
  EXPECT_EQ(Run().status().code(), absl::StatusCode::kInvalidArgument);
  config_.amp = "off";
  config_.out = folder_ / "in/a.jpg";
  EXPECT_EQ(Run().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(Labeler, TheSameModelTwiceLabelsAsOnce) {
  for (int i = 0; i < 3; ++i) Picture("a" + std::to_string(i) + ".jpg");
  config_.save_conf = true;
  ASSERT_TRUE(Run().ok());
  config_.models.push_back(config_.models[0]);
  config_.ensemble.method = "nms";
  config_.ensemble.iou = config_.iou;
  config_.ensemble.weights = {2, 2};
  config_.out = folder_ / "twice";
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Files("twice"), Files("out"));
  for (const char* method : {"wbf", "soft_nms"}) {
    config_.ensemble.method = method;
    config_.out = folder_ / method;
    const auto fused = Run();
    ASSERT_TRUE(fused.ok()) << fused.status();
    EXPECT_EQ(fused->labelled, 3) << method;
  }
}

TEST_F(Labeler, ModelsThatOrderClassesOtherwiseAgreeByName) {
  Picture("a.jpg");
  WriteFinder(folder_ / "other.pt", true, {"DOG ", "cat"}, 0);
  const std::string finder = folder_ / "finder.pt", other = folder_ / "other.pt";
  config_.models = {finder, other};
  auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Files("out").at("classes.txt"), "cat\ndog\n");
  EXPECT_THAT(Files("out").at("a.txt"), ::testing::MatchesRegex("(1( [01]\\.[0-9]{6}){4}\n)+"));
  EXPECT_THAT(observer_.logs,
              ::testing::Contains(AllOf(HasSubstr("other.pt in those of"), HasSubstr("finder.pt"),
                                        HasSubstr("0 DOG  -> 1 dog, 1 cat -> 0 cat"))));

  config_.models = {other, finder};
  config_.out = folder_ / "swapped";
  result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(Files("swapped").at("a.txt"), ::testing::MatchesRegex("(0( [01]\\.[0-9]{6}){4}\n)+"));
}

TEST_F(Labeler, WhatOnlyOneModelKnowsIsLabelledToo) {
  Picture("a.jpg");
  WriteFinder(folder_ / "birds.pt", true, {"bird", "dog"}, 0);
  config_.models = {folder_ / "finder.pt", folder_ / "birds.pt"};
  auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Files("out").at("classes.txt"), "cat\ndog\nbird\n");
  EXPECT_THAT(Files("out").at("a.txt"), AllOf(HasSubstr("1 0."), HasSubstr("2 0.")));

  config_.classes = {2};
  config_.out = folder_ / "birds";
  result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(Files("birds").at("a.txt"), ::testing::MatchesRegex("(2( [01]\\.[0-9]{6}){4}\n)+"));
  config_.classes = {3};
  EXPECT_THAT(std::string(Run().status().message()), HasSubstr("have 0 to 2"));
}

TEST_F(Labeler, RefusesModelsThatCannotBeAnEnsemble) {
  Picture("a.jpg");
  WriteFinder(folder_ / "fish.pt", true, {"fish", "crab"});
  config_.models = {folder_ / "finder.pt", folder_ / "fish.pt"};
  auto refused = Run().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), AllOf(HasSubstr("finder.pt"), HasSubstr("fish.pt")));
  config_.models = {folder_ / "finder.pt", folder_ / "finder.pt"};
  config_.ensemble.weights = {0, 0};
  EXPECT_THAT(std::string(Run().status().message()), HasSubstr("weights"));
  config_.ensemble.weights = {1};
  EXPECT_THAT(std::string(Run().status().message()), HasSubstr("1 numbers for 2 models"));
}

TEST_F(Labeler, SaysWhereNobodyMayWrite) {
  const std::string folder = UnwritableFolder();
  if (folder.empty())
    GTEST_SKIP() << "no folder here that root may not write to (sysfs is not mounted)";
  Picture("a.jpg");
  config_.out = folder + "/labels";
  EXPECT_EQ(Run().status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(Labeler, TwoRanksShareTheImagesAndGiveTheSameFiles) {
  for (int i = 0; i < 7; ++i) Picture("a" + std::to_string(i) + ".jpg", 80, i % 2 == 0 ? 60 : 30);
  folder_.Write("in/broken.jpg", "x");
  const auto alone = Run();
  ASSERT_TRUE(alone.ok()) << alone.status();
  const auto expected = Files("out");
  config_.out = folder_ / "both";
  std::vector<absl::StatusOr<LabelResult>> results(2);
  std::vector<RecordingObserver> observers(2);
  RunAsRanks(2, [&](Group& group) { results[group.rank()] = Run(group, observers[group.rank()]); });
  for (const auto& result : results) {
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->images, 8);
    EXPECT_EQ(result->labelled, 7);
    EXPECT_EQ(result->failed, 1);
    EXPECT_EQ(result->boxes, alone->boxes);
    EXPECT_EQ(result->failures, alone->failures);
    EXPECT_EQ(result->images_per_second, results[0]->images_per_second);
  }
  EXPECT_EQ(Files("both"), expected);
  EXPECT_EQ(observers[0].progress.back(), 8);
  EXPECT_TRUE(observers[1].progress.empty());
}

TEST_F(Labeler, AllRanksStopWhenOneIsAskedAndTheRestIsMadeLater) {
  for (int i = 0; i < 20; ++i) Picture("a" + std::to_string(i) + ".jpg");
  std::vector<absl::StatusOr<LabelResult>> results(2);
  std::vector<RecordingObserver> observers(2);
  RunAsRanks(2, [&](Group& group) {
    results[group.rank()] =
        Run(group, observers[group.rank()], StopAfter(group.rank() == 1 ? 2 : 1000));
  });
  for (const auto& result : results) {
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->stopped);
    EXPECT_EQ(result->labelled, 3 * 2 * 2);  // rounds, images a batch, ranks
  }
  EXPECT_EQ(Files("out").size(), 12u + 2);
  const auto rest = Run();
  ASSERT_TRUE(rest.ok()) << rest.status();
  EXPECT_EQ(rest->kept, 12);
  EXPECT_EQ(rest->labelled, 8);
}

// A rank with nothing to do must neither hang nor end the others.
TEST_F(Labeler, MoreRanksThanImages) {
  Picture("a.jpg");
  std::vector<absl::StatusOr<LabelResult>> results(3);
  std::vector<RecordingObserver> observers(3);
  RunAsRanks(3, [&](Group& group) { results[group.rank()] = Run(group, observers[group.rank()]); });
  for (const auto& result : results) {
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->labelled, 1);
  }
}

TEST_F(Labeler, OneRanksErrorIsEveryRanksError) {
  for (int i = 0; i < 4; ++i) Picture("a" + std::to_string(i) + ".jpg");
  fs::create_directories(folder_ / "out");
  folder_.Write("in/sub/b.jpg", JpegBytes(engine::Picture(80, 60)));
  folder_.Write("out/sub", "a file where a folder is needed");
  std::vector<absl::StatusOr<LabelResult>> results(2);
  std::vector<RecordingObserver> observers(2);
  RunAsRanks(2, [&](Group& group) { results[group.rank()] = Run(group, observers[group.rank()]); });
  for (const auto& result : results) {
    ASSERT_FALSE(result.ok());
    EXPECT_THAT(std::string(result.status().message()), HasSubstr("out/sub"));
  }
}

}  // namespace
}  // namespace yoke::engine
