// The whole validation of the official weights on eight photos, against what the reference
// (8.4.190) prints.
#include "server/engine/eval/validator.h"

#include <cstdlib>

#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/distributed/ranks.h"

namespace yoke::engine {
namespace {

class Validator : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* data = std::getenv("YOKE_TEST_DATA");
    if (data == nullptr)
      GTEST_SKIP() << "YOKE_TEST_DATA is not set: weights and photos are not here";
    config_.models = {std::string(data) + "/weights/yolov8n.pt"};
    config_.data = std::string(data) + "/coco8/coco8.yaml";
    config_.cache_dir = folder_.path();
    config_.batch = 4;
    config_.workers = 2;
  }
  absl::StatusOr<ValidationResult> Run(Group& group) {
    Observer observer;
    return RunValidation(config_, at::kCPU, group, observer, StopSignal());
  }
  static void ExpectMetrics(const absl::StatusOr<ValidationResult>& result, double precision,
                            double recall, double map50, double map5095) {
    ASSERT_TRUE(result.ok()) << result.status();
    const DetectionMetrics& got = result->eval.metrics;
    EXPECT_NEAR(got.precision, precision, 0.005);
    EXPECT_NEAR(got.recall, recall, 0.005);
    EXPECT_NEAR(got.map50, map50, 0.005);
    EXPECT_NEAR(got.map5095, map5095, 0.005);
    EXPECT_EQ(result->eval.images, 4);
    EXPECT_EQ(result->eval.instances, 17);
  }

  yoke::TempFolder folder_;
  ValConfig config_;
};

TEST_F(Validator, HasTheReferencesFiguresInRectangles) {
  const auto result = Run(**MakeGroup({}));
  ExpectMetrics(result, 0.62097, 0.83333, 0.89572, 0.62989);
  EXPECT_NEAR(result->eval.metrics_classic.map50, 0.88795, 0.005) << "8.1.34";
}

TEST_F(Validator, HasTheReferencesFiguresInSquares) {
  config_.rect = false;
  ExpectMetrics(Run(**MakeGroup({})), 0.70804, 0.83333, 0.81546, 0.60891);
}

// One batch of four images for one rank, none for the other.
TEST_F(Validator, RanksWithoutWorkGetTheSameResult) {
  std::vector<absl::StatusOr<ValidationResult>> results(2);
  config_.batch = 8;
  RunAsRanks(2, [&](Group& group) { results[group.rank()] = Run(group); });
  for (const auto& result : results) ExpectMetrics(result, 0.62097, 0.83333, 0.89572, 0.62989);
}

}  // namespace
}  // namespace yoke::engine
