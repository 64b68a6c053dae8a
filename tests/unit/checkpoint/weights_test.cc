#include "server/engine/checkpoint/weights.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "common/formats/torch_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

using formats::PickleNode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WeightsFile : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_.path() + "/" + name; }
  void Put(const std::string& path, const std::string& bytes) const {
    std::ofstream(path, std::ios::binary) << bytes;
  }

  TempFolder folder_;
};

Weights Example(const ModelSpec& spec = {'n', 2}) {
  auto model = *DetectionModel::Create(spec);
  Weights weights{.spec = model->spec(), .names = {"cat", "dog"}};
  weights.metadata = {{"trained_epochs", "7"}, {"version", "0.1.0"}};
  for (auto& item : model->named_parameters())
    weights.state[item.key()] = item.value().detach().clone();
  for (auto& item : model->named_buffers()) weights.state[item.key()] = item.value().clone();
  return weights;
}

bool IsSame(const Weights& a, const Weights& b) {
  if (a.names != b.names || a.state.size() != b.state.size()) return false;
  for (const auto& [name, tensor] : a.state) {
    if (!b.state.contains(name) || !tensor.equal(b.state.at(name))) return false;
  }
  return true;
}

TEST_F(WeightsFile, ReadsBackWhatItWrote) {
  const Weights written = Example();
  ASSERT_TRUE(WriteWeights(Path("w.pt"), written).ok());
  auto read = ReadWeights(Path("w.pt"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->spec.scale, 'n');
  EXPECT_EQ(read->spec.class_count, 2);
  EXPECT_EQ(read->spec.class_width, 64);
  EXPECT_EQ(read->names, written.names);
  EXPECT_EQ(read->metadata["trained_epochs"], "7");
  EXPECT_EQ(read->metadata["epoch"], "-1");
  ASSERT_EQ(read->state.size(), 355u);
  for (const auto& [name, tensor] : written.state) {
    // Half precision: 11 bits.
    EXPECT_TRUE(at::allclose(read->state[name].to(at::kFloat), tensor.to(at::kFloat), 1e-3, 1e-3))
        << name;
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1)
      << "something half-written was left";
}

TEST_F(WeightsFile, KeepsClassBranchesOfAnotherWidth) {
  ASSERT_TRUE(WriteWeights(Path("w.pt"), Example({'n', 2, 80})).ok());
  const auto read = ReadWeights(Path("w.pt"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->spec.class_width, 80);
  auto model = *DetectionModel::Create(read->spec);
  EXPECT_EQ(Transfer(*read, *model).copied, 355);
}

TEST_F(WeightsFile, WhatHalfPrecisionCannotHoldStaysFinite) {
  Weights weights = Example();
  weights.state.at("model.0.bn.running_var").fill_(1e6);
  ASSERT_TRUE(WriteWeights(Path("w.pt"), weights).ok());
  EXPECT_EQ(ReadWeights(Path("w.pt"))->state.at("model.0.bn.running_var")[0].item<float>(), 65504);
}

TEST_F(WeightsFile, NumbersThatAreNotFiniteAreRefusedByName) {
  Weights weights = Example();
  weights.state.at("model.0.conv.weight")[0].fill_(std::nan(""));
  ASSERT_TRUE(WriteWeights(Path("w.pt"), weights).ok());
  EXPECT_THAT(std::string(ReadWeights(Path("w.pt")).status().message()),
              HasSubstr("model.0.conv.weight holds numbers that are not finite"));
}

// The keys of a checkpoint and of what it holds, in the reference's order (8.4.190).
TEST_F(WeightsFile, HasTheReferencesKeysInItsOrder) {
  TrainingRecord record;
  record.args = {{"imgsz", int64_t{160}}, {"freeze", std::vector<int>{0, 1}},
                 {"recipe", "classic"},   {"resume", false},
                 {"lr0", 0.02},           {"model", "x.pt"}};
  record.metrics = {{"metrics/mAP50(B)", 0.5}, {"fitness", 0.25}};
  record.results = {{"epoch", {1, 2}}, {"train/box_loss", {1.5, 1.25}}};
  ASSERT_TRUE(WriteWeights(Path("w.pt"), Example(), record).ok());
  const std::string text = ReadAll(Path("w.pt"));
  const auto file =
      formats::TorchFile::Open({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  ASSERT_TRUE(file.ok()) << file.status();
  std::vector<std::string> keys;
  for (const auto& [key, value] : file->root().entries) keys.push_back(key->text);
  EXPECT_THAT(
      keys, ElementsAre("date", "version", "license", "docs", "epoch", "best_fitness", "stopper",
                        "model", "ema", "updates", "modelopt", "optimizer", "scaler", "train_args",
                        "train_metrics", "train_results", "git", "trained_epochs"));
  const PickleNode& args = *file->root().Find("train_args");
  EXPECT_EQ(args.entries.front().first->text, "task");
  EXPECT_EQ(args.entries.back().first->text, "tracker");
  EXPECT_EQ(args.Find("imgsz")->integer, 160);
  EXPECT_EQ(args.Find("freeze")->items.size(), 2u);
  EXPECT_EQ(args.Find("lr0")->real, 0.02);
  EXPECT_EQ(args.Find("model")->text, "x.pt");
  EXPECT_EQ(args.Find("epochs")->integer, 100) << "a default";
  EXPECT_EQ(args.Find("recipe"), nullptr) << "not the reference's";
  EXPECT_EQ(file->root().Find("train_metrics")->Find("fitness")->real, 0.25);
  const PickleNode& results = *file->root().Find("train_results");
  EXPECT_EQ(results.Find("epoch")->items[1]->integer, 2);
  EXPECT_EQ(results.Find("train/box_loss")->items[1]->real, 1.25);
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
  const std::string whole = ReadAll(Path("w.pt"));
  for (size_t size : {size_t{0}, size_t{1}, size_t{3}, size_t{21}, size_t{100}, whole.size() / 2,
                      whole.size() - 30, whole.size() - 1}) {
    Put(Path("cut.pt"), whole.substr(0, size));
    auto read = ReadWeights(Path("cut.pt"));
    ASSERT_FALSE(read.ok()) << size;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr("cut.pt")) << size;
  }
}

// Samples of a file of real size; formats_torch_file_test damages every byte of a small one.
TEST_F(WeightsFile, ADamagedByteGivesTheSameWeightsOrARefusal) {
  ASSERT_TRUE(WriteWeights(Path("w.pt"), Example()).ok());
  const auto expected = ReadWeights(Path("w.pt"));
  ASSERT_TRUE(expected.ok()) << expected.status();
  const std::string whole = ReadAll(Path("w.pt"));
  // The pickle comes first, the directory last; between them lie the storages and their headers.
  const size_t pickle_end = whole.find("byteorder"), directory = whole.find("PK\x01\x02");
  ASSERT_LT(pickle_end, directory);
  int refused = 0, tried = 0;
  const auto damage = [&](size_t begin, size_t end, int samples) {
    for (int i = 0; i < samples; ++i, ++tried) {
      std::string bytes = whole;
      const size_t at = begin + (end - begin) * i / samples + i % 7;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << i % 8));
      Put(Path("damaged.pt"), bytes);
      const auto read = ReadWeights(Path("damaged.pt"));
      refused += read.ok() ? 0 : 1;
      ASSERT_TRUE(!read.ok() || IsSame(*read, *expected)) << at;
    }
  };
  damage(0, pickle_end, 60);
  damage(pickle_end, directory, 60);
  damage(directory, whole.size() - 8, 60);
  EXPECT_GT(refused, tried / 2);
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
