// The file frame by frame, and what it refuses. What is in it, the tensorboard package tells:
// tests/numerics/run_folder_test.py.
#include "server/engine/train/tensorboard_file.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

std::string BytesOf(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(Crc32c, EqualsThePublishedCheckValue) { EXPECT_EQ(Crc32c("123456789"), 0xE3069283u); }

TEST(TensorBoardFile, HasOneFrameForTheVersionAndOneForEachEpoch) {
  TempFolder folder;
  TensorBoardFile file(folder.path());
  for (int epoch = 1; epoch <= 3; ++epoch) {
    EpochReport report;
    report.epoch = epoch;
    report.lr = {0.1, 0.2, 0.3};
    ASSERT_TRUE(file.Append(report).ok());
  }
  const auto path = std::filesystem::directory_iterator(folder.path())->path();
  EXPECT_TRUE(path.filename().string().starts_with("events.out.tfevents.")) << path;
  const std::string bytes = BytesOf(path);
  size_t at = 0;
  int frames = 0;
  for (uint64_t length = 0; at + 12 <= bytes.size(); at += 16 + length, ++frames) {
    std::memcpy(&length, bytes.data() + at, 8);
    ASSERT_LE(at + 16 + length, bytes.size());
    const bool has_rate = bytes.substr(at + 12, length).find("lr/pg2") != std::string::npos;
    EXPECT_EQ(has_rate, frames > 0);
  }
  EXPECT_EQ(at, bytes.size());
  EXPECT_EQ(frames, 4);
}

TEST(TensorBoardFile, WritesTheFirstTwoHundredOfManyClasses) {
  TempFolder folder;
  TensorBoardFile file(folder.path());
  std::vector<ClassMetrics> classes(1000);
  for (int i = 0; i < 1000; ++i)
    classes[i].class_id = i, classes[i].name = "name" + std::to_string(i) + ".";
  ASSERT_TRUE(file.AppendClasses(1, classes).ok());
  const std::string bytes = BytesOf(std::filesystem::directory_iterator(folder.path())->path());
  EXPECT_NE(bytes.find("AP50/name199."), std::string::npos);
  EXPECT_EQ(bytes.find("AP50/name200."), std::string::npos);
}

TEST(TensorBoardFile, HasNothingToSayWithoutClasses) {
  TempFolder folder;
  TensorBoardFile file(folder.path());
  EXPECT_TRUE(file.AppendClasses(1, {}).ok());
  EXPECT_TRUE(file.AppendCurves(1, {}, {}).ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(TensorBoardFile, BeginsWithTheSettingsOfTheRun) {
  TempFolder folder;
  TensorBoardFile file(folder.path());
  EXPECT_TRUE(absl::IsNotFound(file.Begin()));
  std::ofstream(folder.path() + "/args.yaml") << "lr0: [\n";
  EXPECT_TRUE(absl::IsInvalidArgument(file.Begin())) << "damaged";
  std::ofstream(folder.path() + "/args.yaml")
      << "lr0: 0.01\nname: \"123\"\nresume: ~\nsave_dir: /here\n";
  EXPECT_TRUE(absl::IsNotFound(file.Begin())) << "no recipe.yaml";
  std::ofstream(folder.path() + "/recipe.yaml") << "zero_grad: true\n";
  ASSERT_TRUE(file.Begin().ok());
  std::string bytes;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().extension() != ".yaml") bytes = BytesOf(entry.path());
  }
  EXPECT_NE(bytes.find("lr0"), std::string::npos);
  EXPECT_NE(bytes.find("123"), std::string::npos);
  EXPECT_NE(bytes.find("zero_grad"), std::string::npos);
  EXPECT_EQ(bytes.find("resume"), std::string::npos);
  EXPECT_EQ(bytes.find("/here"), std::string::npos);
}

TEST(TensorBoardFile, AFolderThatIsGoneIsNamed) {
  TensorBoardFile file("/nowhere/at/all");
  EXPECT_NE(file.Append({}).message().find("/nowhere/at/all"), std::string::npos);
}

}  // namespace
}  // namespace yoke::engine
