#include "server/engine/export/onnx_metadata.h"

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yoke::engine {
namespace {

using ::testing::Contains;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

TEST(PythonString, IsALiteralForAnyText) {
  EXPECT_EQ(PythonString("traffic light"), "'traffic light'");
  EXPECT_EQ(PythonString("it's"), R"('it\'s')");
  EXPECT_EQ(PythonString(R"(a "b" \"c)"), R"('a "b" \\"c')");
  EXPECT_EQ(PythonString("a\nb\x01"), R"('a\nb\u0001')");
  EXPECT_EQ(PythonString("Tür"), "'Tür'");
  EXPECT_EQ(PythonString("\xff"), "'\xef\xbf\xbd'");
  EXPECT_EQ(PythonString(""), "''");
}

TEST(OnnxMetadata, HasTheKeysThatTheReferencesLoaderEvaluates) {
  ExportConfig config;
  config.batch = 4;
  config.imgsz = 320;
  ModelFacts model{'s', {"cat", "dog"}, {}};
  EXPECT_THAT(
      OnnxMetadata(config, model, absl::UnixEpoch()),
      ::testing::IsSupersetOf(
          {Pair("description", "YOLOv8s detector"), Pair("author", "Yoke"),
           Pair("date", "1970-01-01T00:00:00+00:00"), Pair("stride", "32"), Pair("task", "detect"),
           Pair("batch", "4"), Pair("imgsz", "[320, 320]"), Pair("names", "{0: 'cat', 1: 'dog'}"),
           Pair("args", "{'batch': 4, 'dynamic': False, 'nms': False, 'opset': 17}")}));
  EXPECT_THAT(OnnxMetadata(config, model, absl::UnixEpoch()), Not(Contains(Key("license"))));
}

TEST(OnnxMetadata, SaysWhoseWeightsTheyAreAndHowSuppressionWasSet) {
  ExportConfig config;
  config.nms = config.agnostic_nms = true;
  config.conf = 0.3;
  const auto entries = OnnxMetadata(
      config, {'n', {"a"}, {{"license", "CC0"}, {"data", "/somewhere/pets.yaml"}}}, absl::Now());
  EXPECT_THAT(entries, Contains(Pair("license", "CC0")));
  EXPECT_THAT(entries, Contains(Pair("description", "YOLOv8n detector trained on pets.yaml")));
  EXPECT_THAT(entries, Contains(Pair("args",
                                     "{'batch': 1, 'dynamic': False, 'nms': True, 'opset': 17, "
                                     "'conf': 0.3, 'iou': 0.7, 'max_det': 300, "
                                     "'agnostic_nms': True}")));
}

}  // namespace
}  // namespace yoke::engine
