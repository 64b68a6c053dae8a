#include "server/engine/checkpoint/weights.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yoke::engine {
namespace {

using ::testing::HasSubstr;

class WeightsFile : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / ("yoke-weights." + std::to_string(getpid()));
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string Path(const std::string& name) const { return (dir_ / name).string(); }
  std::string Bytes(const std::string& path) const {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  void Put(const std::string& path, const std::string& bytes) const {
    std::ofstream(path, std::ios::binary) << bytes;
  }

  std::filesystem::path dir_;
};

Weights Example() {
  auto model = *DetectionModel::Create({'n', 2});
  Weights weights;
  weights.spec = {'n', 2};
  weights.names = {"cat", "dog"};
  weights.metadata = {{"trained_epochs", "7"}, {"version", "0.1.0"}};
  for (auto& item : model->named_parameters())
    weights.state[item.key()] = item.value().detach().clone();
  for (auto& item : model->named_buffers()) weights.state[item.key()] = item.value().clone();
  return weights;
}

TEST_F(WeightsFile, ReadsBackWhatItWrote) {
  const Weights written = Example();
  ASSERT_TRUE(WriteWeights(Path("w.pt"), written).ok());
  auto read = ReadWeights(Path("w.pt"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->spec.scale, 'n');
  EXPECT_EQ(read->spec.class_count, 2);
  EXPECT_EQ(read->names, written.names);
  EXPECT_EQ(read->metadata["trained_epochs"], "7");
  ASSERT_EQ(read->state.size(), 355u);
  for (const auto& [name, tensor] : written.state) {
    EXPECT_TRUE(at::allclose(read->state[name].to(at::kFloat), tensor.to(at::kFloat), 1e-3, 1e-3))
        << name;
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_), {}), 1)
      << "something half-written was left";
}

TEST_F(WeightsFile, TransfersWhatFitsAndNamesTheRest) {
  auto model = *DetectionModel::Create({'n', 5});
  const TransferReport report = Transfer(Example(), *model);
  EXPECT_EQ(report.total, 355);
  EXPECT_EQ(report.copied, 355 - 6);  // the last layers of three class branches
  EXPECT_THAT(report.skipped, ::testing::Contains("model.22.cv3.0.2.weight"));
}

TEST_F(WeightsFile, EveryTruncationIsRefusedWithTheFilesName) {
  ASSERT_TRUE(WriteWeights(Path("w.pt"), Example()).ok());
  const std::string whole = Bytes(Path("w.pt"));
  for (size_t size : {size_t{0}, size_t{1}, size_t{3}, size_t{21}, size_t{100}, whole.size() / 2,
                      whole.size() - 30, whole.size() - 1}) {
    Put(Path("cut.pt"), whole.substr(0, size));
    auto read = ReadWeights(Path("cut.pt"));
    ASSERT_FALSE(read.ok()) << size;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr("cut.pt")) << size;
  }
}

TEST_F(WeightsFile, AFlippedByteInATensorIsFound) {
  ASSERT_TRUE(WriteWeights(Path("w.pt"), Example()).ok());
  std::string bytes = Bytes(Path("w.pt"));
  bytes[bytes.size() / 2] ^= 0x10;
  Put(Path("flipped.pt"), bytes);
  EXPECT_FALSE(ReadWeights(Path("flipped.pt")).ok());
}

TEST_F(WeightsFile, AMissingFileIsNotFound) {
  EXPECT_EQ(ReadWeights(Path("none.pt")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(WeightsFile, ReadsTheOfficialCheckpointOf2022) {
  const char* data = std::getenv("YOKE_TEST_DATA");
  if (data == nullptr)
    GTEST_SKIP() << "YOKE_TEST_DATA is not set: the official weights are not here";
  auto read = ReadWeights(std::string(data) + "/weights/yolov8n.pt");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->spec.scale, 'n');
  EXPECT_EQ(read->spec.class_count, 80);
  EXPECT_EQ(read->names[27], "tie");
  EXPECT_EQ(read->state.size(), 355u);
  auto model = *DetectionModel::Create(read->spec);
  EXPECT_EQ(Transfer(*read, *model).copied, 355);
}

}  // namespace
}  // namespace yoke::engine
