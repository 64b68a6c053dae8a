#include "server/engine/data/process.h"

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/engine/data/dataset.h"
#include "server/engine/data/process/stratify.h"
#include "server/engine/data/random.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/data/pictures.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr std::array<double, 3> kMostTrain = {0.8, 0.2, 0.0};

TEST(Stratify, RareClassesReachBothSides) {
  // Class 0 everywhere, class 1 in two images, class 2 in one.
  std::vector<std::vector<int>> classes(50, {0});
  classes[3] = {0, 1}, classes[40] = {1}, classes[7] = {0, 2};
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto splits = Stratify(classes, kMostTrain, seed);
    EXPECT_NE(splits[3], splits[40]) << seed;
    EXPECT_EQ(splits[7], SplitName::kTrain) << seed;
    EXPECT_NEAR(static_cast<double>(std::count(splits.begin(), splits.end(), SplitName::kVal)), 10,
                1)
        << seed;
  }
}

TEST(Stratify, EveryClassOfTwoImagesIsOnBothSides) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Random random(seed, 1, 2);
    std::vector<std::vector<int>> classes(40);
    for (auto& image : classes) {
      std::set<int> ids;
      for (int64_t i = random.Below(4); i > 0; --i) ids.insert(static_cast<int>(random.Below(12)));
      image.assign(ids.begin(), ids.end());
    }
    const auto splits = Stratify(classes, kMostTrain, seed);
    std::map<int, std::array<int, 3>> count;
    for (size_t i = 0; i < classes.size(); ++i) {
      for (int id : classes[i]) ++count[id][static_cast<size_t>(splits[i])];
    }
    for (const auto& [id, in] : count) {
      if (in[0] + in[1] < 2) continue;
      EXPECT_GT(in[0], 0) << "class " << id << " seed " << seed;
      EXPECT_GT(in[1], 0) << "class " << id << " seed " << seed;
    }
  }
}

TEST(Stratify, ManyRareClassesDoNotFillTheSmallSplits) {
  // Common classes beside rare ones, as in photos of everyday scenes.
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Random random(seed, 3, 4);
    std::vector<std::vector<int>> classes(128);
    for (auto& image : classes) {
      std::set<int> ids = {static_cast<int>(random.Below(15))};
      for (int64_t i = random.Below(3); i > 0; --i) ids.insert(static_cast<int>(random.Below(5)));
      image.assign(ids.begin(), ids.end());
    }
    const auto splits = Stratify(classes, {0.8, 0.1, 0.1}, seed);
    EXPECT_LE(std::count(splits.begin(), splits.end(), SplitName::kTest), 14) << seed;
    EXPECT_GE(std::count(splits.begin(), splits.end(), SplitName::kTest), 10) << seed;
    EXPECT_LE(std::count(splits.begin(), splits.end(), SplitName::kVal), 26) << seed;
  }
}

TEST(Stratify, SeedDecidesAndThreeSplitsKeepTheirRatios) {
  std::vector<std::vector<int>> classes;
  for (int i = 0; i < 200; ++i)
    classes.push_back(i % 5 == 4 ? std::vector<int>{} : std::vector<int>{i % 3});
  const std::array<double, 3> ratios = {0.7, 0.2, 0.1};
  const auto splits = Stratify(classes, ratios, 3);
  EXPECT_EQ(splits, Stratify(classes, ratios, 3));
  EXPECT_NE(splits, Stratify(classes, ratios, 4));
  EXPECT_NEAR(static_cast<double>(std::count(splits.begin(), splits.end(), SplitName::kTrain)), 140,
              3);
  EXPECT_NEAR(static_cast<double>(std::count(splits.begin(), splits.end(), SplitName::kTest)), 20,
              3);
}

struct StopAfter : StopSignal {
  mutable int left = 0;
  explicit StopAfter(int calls) : left(calls) {}
  bool requested() const override { return --left < 0; }
};

class Process : public ::testing::Test {
 protected:
  Process() {
    config_.source = folder_ / "raw";
    config_.out = folder_ / "out/set";
  }
  void Image(const std::string& name, int seed) {
    folder_.Write("raw/" + name, JpegBytes(Picture(64, 48, seed)));
  }
  void LabelFile(const std::string& name, const std::string& text) {
    folder_.Write("raw/" + name, text);
  }
  absl::StatusOr<ProcessResult> Run() { return RunProcess(config_, observer_, StopSignal()); }
  // All files under a folder with their bytes.
  static std::map<std::string, std::string> Tree(const std::string& root) {
    std::map<std::string, std::string> tree;
    if (!fs::exists(root)) return tree;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (entry.is_regular_file())
        tree[entry.path().lexically_relative(root)] = ReadAll(entry.path());
    }
    return tree;
  }

  TempFolder folder_;
  ProcessConfig config_;
  Observer observer_;
};

TEST_F(Process, FlatFolderBecomesADataSetThatScans) {
  for (int i = 0; i < 20; ++i) {
    Image(std::to_string(i) + ".jpg", i);
    if (i != 7)
      LabelFile(std::to_string(i) + ".txt", std::to_string(i % 2) + " 0.5 0.5 0.25 0.25\n");
  }
  LabelFile("gone.txt", "0 0.5 0.5 0.1 0.1\n");
  LabelFile("classes.txt", "cat\r\ndog: \"x\"\n");
  LabelFile("readme.txt", "Thank you for using this data.\n");
  fs::copy_file(config_.source + "/3.jpg", config_.source + "/again.jpg");
  folder_.Write("raw/broken.jpg", "");
  const auto before = Tree(config_.source);

  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Tree(config_.source), before);
  EXPECT_EQ(result->images, 20);
  EXPECT_EQ(result->train + result->val, 20);
  EXPECT_EQ(result->val, 4);
  EXPECT_EQ(result->images_without_labels, 1);
  EXPECT_EQ(result->labels_without_images, 1);
  EXPECT_EQ(result->duplicates, 1);
  EXPECT_EQ(result->corrupt, 1);
  EXPECT_EQ(result->boxes_per_class.at("cat"), 10);

  const auto yaml = ReadDataYaml(result->data_yaml);
  ASSERT_TRUE(yaml.ok()) << yaml.status();
  EXPECT_THAT(yaml->names, ::testing::ElementsAre("cat", "dog: \"x\""));
  EXPECT_THAT(ReadAll(result->data_yaml), ::testing::Not(HasSubstr(folder_.path())));
  const auto split = ScanSplit(yaml->train, {.class_count = 2});
  ASSERT_TRUE(split.ok()) << split.status();
  EXPECT_EQ(split->missing_labels, 0);
  EXPECT_EQ(static_cast<int64_t>(split->samples.size()), result->train);
  const auto report = nlohmann::json::parse(ReadAll(config_.out + "/report.json"));
  EXPECT_EQ(report["labels_without_images"]["files"][0], "gone.txt");
  EXPECT_EQ(report["classes"][1]["boxes"], 9);
}

TEST_F(Process, NestedFoldersKeepEqualStemsApart) {
  Image("images/a/1.jpg", 0), LabelFile("labels/a/1.txt", "0 .5 .5 .1 .1");
  Image("images/b/1.jpg", 1), LabelFile("labels/b/1.txt", "1 .5 .5 .2 .2");
  Image("b/1.jpg", 2), LabelFile("b/1.txt", "2 .5 .5 .3 .3");
  Image("photos/1.jpg", 3), LabelFile("labels/photos/1.txt", "3 .5 .5 .4 .4");
  Image("photos/2.jpg", 4), LabelFile("labels/2.txt", "4 .5 .5 .5 .5");
  config_.train = 1, config_.val = 0;
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->images_without_labels, 0);
  EXPECT_EQ(result->labels_without_images, 0);
  const auto yaml = ReadDataYaml(result->data_yaml);
  ASSERT_TRUE(yaml.ok()) << yaml.status();
  EXPECT_EQ(yaml->names.size(), 5u);
  const auto split = ScanSplit(yaml->train, {.class_count = 5});
  ASSERT_TRUE(split.ok()) << split.status();
  ASSERT_EQ(split->samples.size(), 5u);
  for (const Sample& sample : split->samples) {
    ASSERT_EQ(sample.labels.size(), 1u) << sample.image_path;
    // Each image kept its own label: the class tells the width, and the bytes tell the image.
    const int id = sample.labels[0].class_id;
    EXPECT_FLOAT_EQ(sample.labels[0].w, 0.1f * static_cast<float>(id + 1));
    EXPECT_EQ(ReadAll(sample.image_path), JpegBytes(Picture(64, 48, id)));
  }
}

TEST_F(Process, SameSeedSameBytes) {
  for (int i = 0; i < 12; ++i)
    Image(std::to_string(i) + ".jpg", i), LabelFile(std::to_string(i) + ".txt", "0 .5 .5 .1 .1");
  ASSERT_TRUE(Run().ok());
  const auto first = Tree(config_.out);
  config_.out = folder_ / "second";
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(Tree(config_.out), first);
}

TEST_F(Process, LinksShareTheFileWhereAsked) {
  Image("1.jpg", 0), Image("2.jpg", 1);
  config_.link = true;
  ASSERT_TRUE(Run().ok());
  struct stat info;
  ASSERT_EQ(::stat((config_.source + "/1.jpg").c_str(), &info), 0);
  EXPECT_EQ(info.st_nlink, 2u);
}

TEST_F(Process, RefusesClearlyAndLeavesNothing) {
  const auto refused = [&](const std::string& sentence) {
    const auto result = Run();
    EXPECT_FALSE(result.ok());
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(sentence));
    EXPECT_FALSE(fs::exists(folder_ / "out/set"));
  };
  refused("no such folder");
  fs::create_directories(config_.source);
  refused("no images in");
  folder_.Write("raw/broken.jpg", "\xff\xd8\xff");
  refused("none of the 1 images");
  Image("1.jpg", 1), LabelFile("1.txt", "0 .5 .5 .1 .1\n0 .5 nan .1 .1\n");
  refused("raw/1.txt:2: 'nan' is not a finite number");
  config_.names = {"only"};
  LabelFile("1.txt", "1 .5 .5 .1 .1\n");
  refused("raw/1.txt:1: class id 1 but the data set has 1 class");
  config_.train = 0.5;
  refused("their sum 1");
  config_.train = 0.8;
  config_.out = config_.source + "/inside";
  refused("lie within each other");
  config_.out = folder_ / "taken";
  folder_.Write("taken/file", "x");
  refused("is not empty");
  EXPECT_EQ(Tree(folder_ / "taken").size(), 1u);
}

TEST_F(Process, BadLabelsAreLeftOutWhereAsked) {
  Image("1.jpg", 1), LabelFile("1.txt", "0 .5 nan .1 .1\n");
  Image("2.jpg", 2), LabelFile("2.txt", "0 .5 .5 .1 .1\n");
  config_.on_bad_label = "skip";
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->images, 1);
  EXPECT_EQ(result->corrupt, 1);
}

TEST_F(Process, StopLeavesNothing) {
  for (int i = 0; i < 6; ++i) Image(std::to_string(i) + ".jpg", i);
  for (int calls : {0, 1, 4}) {
    const auto result = RunProcess(config_, observer_, StopAfter(calls));
    ASSERT_EQ(result.status().code(), absl::StatusCode::kCancelled) << calls;
    if (fs::exists(folder_ / "out")) {
      EXPECT_TRUE(fs::is_empty(folder_ / "out")) << calls;
    }
  }
}

}  // namespace
}  // namespace yoke::engine
