#include "common/formats/detector_file.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/formats/archive_builder.h"

namespace yoke::formats {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A whole state of yolov8n for `classes`; all entries view one storage of zero bytes.
std::string StateDict(int classes, const std::string& prefix, const std::string& left_out = "") {
  const DetectorShape shape{'n', classes, 64};
  std::vector<std::pair<std::string, std::string>> entries;
  for (const auto& [name, sizes] : DetectorState(shape)) {
    if (name == left_out) continue;
    TensorOptions tensor{.kind = "ByteStorage", .count = 1 << 20, .sizes = sizes};
    tensor.strides.assign(sizes.size(), 1);
    for (size_t i = sizes.size(); i-- > 1;) tensor.strides[i - 1] = tensor.strides[i] * sizes[i];
    entries.emplace_back(prefix + name, PickledTensor(tensor));
  }
  return PickledDict(entries);
}

struct Read {
  absl::Status status;
  DetectorFile detector;  // its views lead nowhere
};
Read ReadPickle(const std::string& body) {
  const std::string archive =
      BuildZip({{"a/data.pkl", Pickle(body)}, {"a/data/0", std::string(1 << 20, '\0')}});
  const auto file = TorchFile::Open(AsBytes(archive));
  if (!file.ok()) return {file.status(), {}};
  auto detector = ReadDetector(*file);
  return detector.ok() ? Read{absl::OkStatus(), *std::move(detector)} : Read{detector.status(), {}};
}

TEST(DetectorLayout, NamesTheReferencesState) {
  std::ifstream file(std::string(std::getenv("YOKE_SOURCE_DIR")) +
                     "/tests/numerics/golden/state_names_n80.txt");
  ASSERT_TRUE(file);
  const auto state = DetectorState({'n', 80, 80});
  size_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    std::istringstream words(line);
    std::string name, sizes;
    words >> name >> sizes;
    ASSERT_TRUE(state.contains(name)) << name;
    EXPECT_EQ(state.at(name).empty() ? "scalar" : absl::StrJoin(state.at(name), "x"), sizes)
        << name;
  }
  EXPECT_EQ(lines, state.size());
}

TEST(DetectorLayout, HasTheReferencesParameterCounts) {
  struct Count {
    int classes;
    int64_t parameters[5];  // n s m l x, as 8.4.190 counts them
  };
  for (const Count& count : {Count{80, {3157200, 11166560, 25902640, 43691520, 68229648}},
                             {3, {3011433, 11136761, 25858057, 43632153, 68155497}},
                             {200, {3376440, 11213000, 25972120, 43784040, 68345208}}}) {
    for (int i = 0; i < 5; ++i) {
      const char scale = "nsmlx"[i];
      const int fresh_width = std::max(std::min(count.classes, 100), 64 * (i + 1));
      int64_t sum = 0;
      for (const auto& [name, sizes] : DetectorState({scale, count.classes, fresh_width})) {
        if (name.find("running_") != std::string::npos || sizes.empty()) continue;
        int64_t product = 1;
        for (const int64_t size : sizes) product *= size;
        sum += product;
      }
      EXPECT_EQ(sum, count.parameters[i]) << scale << " " << count.classes;
    }
  }
}

TEST(DetectorFile, ReadsAPlainStateUnderWhateverPrefix) {
  for (const char* prefix : {"", "module.", "_orig_mod.", "module._orig_mod."}) {
    const Read read = ReadPickle(StateDict(2, prefix));
    ASSERT_TRUE(read.status.ok()) << prefix << read.status;
    EXPECT_EQ(read.detector.state.size(), 355u);
    EXPECT_EQ(read.detector.shape.class_count, 2);
    EXPECT_THAT(read.detector.names, ElementsAre("class0", "class1"));
  }
}

TEST(DetectorFile, NamesMayBeAListOrADictAndAreMadePrintable) {
  const std::string state = StateDict(3, "");
  const auto names = [&](const std::string& pickled) {
    return ReadPickle(PickledDict({{"model", state}, {"names", pickled}})).detector.names;
  };
  EXPECT_THAT(names("](" + PickledText("cat") + PickledText("d\nog") + PickledText("\xff") + "e"),
              ElementsAre("cat", "d og", "?"));
  EXPECT_THAT(names("}(K\x02" + PickledText("caf\xc3\xa9") + "K\x01K\x07u"),
              ElementsAre("class0", "7", "caf\xc3\xa9"));
  EXPECT_THAT(names(PickledDict({{"0", PickledText("cat")}})),
              ElementsAre("cat", "class1", "class2"));
  EXPECT_THAT(
      std::string(ReadPickle(PickledDict({{"model", state}, {"names", "}(J\xff\xff\xff\xffNu"}}))
                      .status.message()),
      HasSubstr("not numbered"));
}

TEST(DetectorFile, AMissingEntryIsNamed) {
  const Read read = ReadPickle(StateDict(2, "", "model.4.m.1.cv2.bn.running_mean"));
  EXPECT_THAT(std::string(read.status.message()),
              HasSubstr("no plain yolov8n detector: model.4.m.1.cv2.bn.running_mean is missing"));
}

TEST(DetectorFile, SaysWhatElseAFileIs) {
  const auto refusal = [](const std::string& body) {
    return std::string(ReadPickle(body).status.message());
  };
  EXPECT_THAT(refusal("N"), HasSubstr("no model and no weights"));
  EXPECT_THAT(refusal(PickledDict({{"model", PickledObject("ultralytics.nn.tasks", "PoseModel")}})),
              HasSubstr("a pose model"));
  EXPECT_THAT(
      refusal(PickledDict({{"w", PickledTensor({.kind = "ByteStorage", .count = 1 << 20})}})),
      HasSubstr("another family"));
}

TEST(DetectorFile, ATensorBesideTheModelIsNotTheModel) {
  const std::string tensor = PickledTensor({.kind = "ByteStorage", .count = 1 << 20});
  const Read read =
      ReadPickle(PickledDict({{"best", tensor}, {"model", StateDict(2, "")}, {"epoch", "K\x05"}}));
  ASSERT_TRUE(read.status.ok()) << read.status;
  EXPECT_EQ(read.detector.metadata.at("epoch"), "5");
}

// A module of many members that is there many times: the work ends.
TEST(DetectorFile, WhatItCostsIsBounded) {
  std::string members = "}q\x02(";
  for (int i = 0; i < 5000; ++i) members += PickledText("m" + std::to_string(i)) + "N";
  const std::string leaf = "cultralytics.nn.tasks\nDetectionModel\n)\x81}(" +
                           PickledText("_modules") + "}" + PickledText("_parameters") + members +
                           "uubq\x01";
  std::string list = "}(" + PickledText("0") + leaf;
  for (int i = 1; i < 5000; ++i) list += PickledText(std::to_string(i)) + "h\x01";
  const std::string model =
      "cultralytics.nn.tasks\nDetectionModel\n)\x81}(" + PickledText("_modules") + list + "uub";
  EXPECT_THAT(std::string(ReadPickle(PickledDict({{"model", model}})).status.message()),
              HasSubstr("more in its modules"));
}

// Modules that contain each other: bounded, refused.
TEST(DetectorFile, ACycleOfModulesEnds) {
  const std::string module = "cultralytics.nn.tasks\nDetectionModel\n)\x81q\x01}(" +
                             PickledText("_modules") + "}(" + PickledText("a") + "h\x01" +
                             PickledText("b") + "h\x01uub";
  EXPECT_THAT(std::string(ReadPickle(PickledDict({{"model", module}})).status.message()),
              HasSubstr("nested too deeply"));
}

}  // namespace
}  // namespace yoke::formats
