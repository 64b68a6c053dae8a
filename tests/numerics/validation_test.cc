// Validation of the published yolov8n weights against what the reference (8.4.190) prints for them.
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/engine/eval/validator.h"

namespace yoke::engine {
namespace {

constexpr double kTolerance = 0.005;

struct Case {
  const char* name;
  const char* data;  // under YOKE_TEST_DATA
  int64_t batch;
  bool rect;
  double map50, map5095;
};

class Validation : public ::testing::TestWithParam<Case> {};

TEST_P(Validation, EqualsTheReference) {
  const char* root = std::getenv("YOKE_TEST_DATA");
  if (root == nullptr)
    GTEST_SKIP() << "YOKE_TEST_DATA is not set: coco8, coco128 and yolov8n.pt are not here";
  const Case& expected = GetParam();
  ValConfig config;
  config.models = {absl::StrCat(root, "/weights/yolov8n.pt")};
  config.data = absl::StrCat(root, "/", expected.data);
  config.batch = expected.batch;
  config.rect = expected.rect;
  config.workers = 2;
  const std::shared_ptr<Group> group = *MakeGroup({});
  Observer observer;
  const absl::StatusOr<ValidationResult> result =
      RunValidation(config, at::kCPU, *group, observer, StopSignal());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_NEAR(result->eval.metrics.map50, expected.map50, kTolerance);
  EXPECT_NEAR(result->eval.metrics.map5095, expected.map5095, kTolerance);
  RecordProperty("map50", absl::StrCat(result->eval.metrics.map50));
  std::printf(
      "%s: P %.5f R %.5f mAP50 %.5f mAP50-95 %.5f, 8.1: mAP50 %.5f mAP50-95 %.5f; %.1f images/s\n",
      expected.name, result->eval.metrics.precision, result->eval.metrics.recall,
      result->eval.metrics.map50, result->eval.metrics.map5095, result->eval.metrics_classic.map50,
      result->eval.metrics_classic.map5095, result->images_per_second);
}

INSTANTIATE_TEST_SUITE_P(
    Coco, Validation,
    ::testing::Values(Case{"coco8_rect", "coco8/coco8.yaml", 4, true, 0.89572, 0.62989},
                      Case{"coco8_square", "coco8/coco8.yaml", 4, false, 0.81546, 0.60891},
                      Case{"coco128_rect", "coco128/data.yaml", 16, true, 0.60670, 0.44567},
                      Case{"coco128_square", "coco128/data.yaml", 16, false, 0.60617, 0.45152}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace yoke::engine
