#include "server/engine/checkpoint/state.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class StateFiles : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_.path() + "/" + name; }
  void Put(const std::string& path, const std::string& bytes) const {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  void Save(int epochs) {
    for (int epoch = 1; epoch <= epochs; ++epoch) {
      TrainState state;
      state.tensors["model.w"] = at::full({3, 2}, static_cast<double>(epoch));
      state.tensors["steps"] = at::tensor(int64_t{5});
      state.tensors["none"] = at::empty({0, 2}, at::kLong);
      state.numbers["epoch"] = epoch;
      state.numbers["best"] = -std::numeric_limits<double>::infinity();
      state.strings["names"] = "[\"a\"]";
      ASSERT_TRUE(SaveState(Path("ckpt"), state).ok());
      EXPECT_EQ(state.generation, epoch);
    }
  }
  // The epoch of what is loaded, if it is whole; -1 if something in it is not as it was saved.
  int LoadedEpoch(std::string* warning) {
    warning->clear();
    auto state = LoadState(Path("ckpt"), warning);
    if (!state.ok()) return -1;
    const double epoch = state->numbers["epoch"];
    const bool is_whole = state->tensors.size() == 3 &&
                          at::equal(state->tensors["model.w"], at::full({3, 2}, epoch)) &&
                          state->tensors["steps"].item<int64_t>() == 5 &&
                          state->tensors["none"].numel() == 0 &&
                          state->strings["names"] == "[\"a\"]" && state->generation == epoch &&
                          std::isinf(state->numbers["best"]);
    return is_whole ? static_cast<int>(epoch) : -1;
  }

  TempFolder folder_;
};

TEST_F(StateFiles, AlternateAndTheNewestIsLoaded) {
  Save(3);
  std::string warning;
  EXPECT_EQ(LoadedEpoch(&warning), 3);
  EXPECT_EQ(warning, "");
}

TEST_F(StateFiles, ADamagedByteAnywhereFallsBackToTheOtherGenerationAndSaysSo) {
  Save(2);
  // a.ckpt holds the first epoch, b.ckpt the second; each in turn is damaged.
  for (const auto& [name, other, epoch] :
       {std::tuple{"b.ckpt", "a.ckpt", 1}, {"a.ckpt", "b.ckpt", 2}}) {
    const std::string path = Path("ckpt/") + name, whole = ReadAll(path);
    for (size_t at = 0; at < whole.size(); ++at) {
      for (const int change : {0x01, 0x80, 0xff}) {
        std::string bytes = whole;
        bytes[at] = static_cast<char>(bytes[at] ^ change);
        Put(path, bytes);
        std::string warning;
        ASSERT_EQ(LoadedEpoch(&warning), epoch) << name << " " << at;
        ASSERT_THAT(warning, AllOf(HasSubstr(std::string(name) + ": "),
                                   HasSubstr(std::string(other) + " (generation ")));
      }
    }
    Put(path, whole);
  }
}

TEST_F(StateFiles, ATruncationAnywhereFallsBackToTheOtherGeneration) {
  Save(2);
  const std::string path = Path("ckpt/b.ckpt"), whole = ReadAll(path);
  for (size_t size = 0; size < whole.size(); ++size) {
    Put(path, whole.substr(0, size));
    std::string warning;
    ASSERT_EQ(LoadedEpoch(&warning), 1) << size;
    ASSERT_THAT(warning, HasSubstr("b.ckpt"));
  }
  Put(path, whole + "x");
  std::string warning;
  EXPECT_EQ(LoadedEpoch(&warning), 1);
}

TEST_F(StateFiles, AHeaderThatClaimsToBeOlderIsNotBelieved) {
  Save(2);
  const std::string path = Path("ckpt/b.ckpt");
  std::string bytes = ReadAll(path);
  const size_t at = bytes.find("\"generation\":2");
  ASSERT_NE(at, std::string::npos);
  bytes[at + std::string("\"generation\":").size()] = '0';
  Put(path, bytes);
  std::string warning;
  EXPECT_EQ(LoadedEpoch(&warning), 1);
  EXPECT_THAT(warning, HasSubstr("its checksum differs"));
}

TEST_F(StateFiles, SwappedFilesAreTheSameGenerations) {
  Save(2);
  std::filesystem::rename(Path("ckpt/a.ckpt"), Path("ckpt/c"));
  std::filesystem::rename(Path("ckpt/b.ckpt"), Path("ckpt/a.ckpt"));
  std::filesystem::rename(Path("ckpt/c"), Path("ckpt/b.ckpt"));
  std::string warning;
  EXPECT_EQ(LoadedEpoch(&warning), 2);
  EXPECT_EQ(warning, "");
}

TEST_F(StateFiles, ASaveReplacesTheDamagedOne) {
  Save(2);
  Put(Path("ckpt/b.ckpt"), "garbage");
  TrainState state;
  ASSERT_TRUE(SaveState(Path("ckpt"), state).ok());
  EXPECT_EQ(state.generation, 2);
  EXPECT_TRUE(LoadState(Path("ckpt"), nullptr).ok());
  EXPECT_THAT(ReadAll(Path("ckpt/a.ckpt")), HasSubstr("\"generation\":1"));
}

TEST_F(StateFiles, BothDamagedIsARefusalThatNamesBoth) {
  Save(2);
  Put(Path("ckpt/a.ckpt"), "garbage");
  std::string bytes = ReadAll(Path("ckpt/b.ckpt"));
  bytes[bytes.size() / 2] ^= 1;
  Put(Path("ckpt/b.ckpt"), bytes);
  const absl::Status status = LoadState(Path("ckpt"), nullptr).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("a.ckpt: it is no training state or truncated"),
                    HasSubstr("b.ckpt: its checksum differs")));
  EXPECT_EQ(LoadState(Path("nowhere"), nullptr).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace yoke::engine
