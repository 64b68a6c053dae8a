// The scalars' file, frame by frame. Its outside oracle is the tensorboard package:
// tests/numerics/check_tensorboard.py.
#include "server/engine/train/tensorboard_file.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

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
  std::ifstream stream(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(stream), {});
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

TEST(TensorBoardFile, AFolderThatIsGoneIsNamed) {
  TensorBoardFile file("/nowhere/at/all");
  EXPECT_NE(file.Append({}).message().find("/nowhere/at/all"), std::string::npos);
}

}  // namespace
}  // namespace yoke::engine
