// Validation of the published yolov8n weights against what the reference (8.4.190) computes for
// them: means, figures by class, confusion matrix.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/engine/eval/validator.h"
#include "tests/numerics/golden_file.h"

namespace yoke::engine {
namespace {

// The order of sums in the network moves confidences by about 1e-5: the largest difference of a
// class was 1e-5 here, no count of the matrix differed. The rest is for other CPUs' kernels.
constexpr double kMeanTolerance = 0.001;
constexpr double kClassTolerance = 0.005;
constexpr int64_t kCountsTolerance = 2;

struct Case {
  const char* set;
  const char* data;  // under YOKE_TEST_DATA
  int64_t batch;
  const char* shape;  // rect | square | single_cls
};

class Validation : public ::testing::TestWithParam<Case> {};

void ExpectClasses(const EvalResult& got, const at::Tensor& want) {
  ASSERT_EQ(static_cast<int64_t>(got.per_class.size()), want.size(0));
  double largest = 0;
  for (int64_t i = 0; i < want.size(0); ++i) {
    const ClassMetrics& one = got.per_class[static_cast<size_t>(i)];
    const float* row = want.data_ptr<float>() + 5 * i;
    SCOPED_TRACE(one.name);
    ASSERT_EQ(one.class_id, static_cast<int>(row[0]));
    const double figures[] = {one.precision, one.recall, one.map50, one.map5095};
    for (int f = 0; f < 4; ++f) {
      EXPECT_NEAR(figures[f], row[1 + f], kClassTolerance) << f;
      largest = std::max(largest, std::abs(figures[f] - row[1 + f]));
    }
  }
  std::printf("largest difference of a class: %.1e\n", largest);
}

// The reference keeps all 80 classes when they are taken for one, so its background is 80.
void ExpectConfusion(const ConfusionMatrix& got, const at::Tensor& want) {
  std::map<std::pair<int, int>, int64_t> cells;
  for (int64_t i = 0; i < want.size(0); ++i) {
    const float* row = want.data_ptr<float>() + 3 * i;
    const auto id = [&](float class_id) {
      return std::min(static_cast<int>(class_id), got.classes);
    };
    cells[{id(row[0]), id(row[1])}] += static_cast<int64_t>(row[2]);
  }
  int64_t different = 0;
  for (int predicted = 0; predicted <= got.classes; ++predicted) {
    for (int truth = 0; truth <= got.classes; ++truth)
      different += std::abs(got.at(predicted, truth) - cells[{predicted, truth}]);
  }
  EXPECT_LE(different, kCountsTolerance);
  std::printf("confusion matrix: %ld counts differ\n", static_cast<long>(different));
}

TEST_P(Validation, EqualsTheReference) {
  const char* root = std::getenv("YOKE_TEST_DATA");
  if (root == nullptr)
    GTEST_SKIP() << "YOKE_TEST_DATA is not set: coco8, coco128 and yolov8n.pt are not here";
  const Case& expected = GetParam();
  ValConfig config;
  config.models = {absl::StrCat(root, "/weights/yolov8n.pt")};
  config.data = absl::StrCat(root, "/", expected.data);
  config.batch = expected.batch;
  config.rect = std::string(expected.shape) != "square";
  config.single_cls = std::string(expected.shape) == "single_cls";
  config.workers = 2;
  const std::shared_ptr<Group> group = *MakeGroup({});
  Observer observer;
  const absl::StatusOr<ValidationResult> result =
      RunValidation(config, at::kCPU, *group, observer, StopSignal());
  ASSERT_TRUE(result.ok()) << result.status();
  auto golden =
      ReadGolden(absl::StrCat("evaluation_", expected.set, "_", expected.shape, ".golden"));
  const DetectionMetrics& got = result->eval.metrics;
  const at::Tensor& mean = golden.at("mean");
  EXPECT_NEAR(got.precision, mean[0].item<double>(), kMeanTolerance);
  EXPECT_NEAR(got.recall, mean[1].item<double>(), kMeanTolerance);
  EXPECT_NEAR(got.map50, mean[2].item<double>(), kMeanTolerance);
  EXPECT_NEAR(got.map5095, mean[3].item<double>(), kMeanTolerance);
  std::printf(
      "%s %s: P %.5f R %.5f mAP50 %.5f mAP50-95 %.5f, 8.1: mAP50 %.5f mAP50-95 %.5f; %.1f "
      "images/s\n",
      expected.set, expected.shape, got.precision, got.recall, got.map50, got.map5095,
      result->eval.metrics_classic.map50, result->eval.metrics_classic.map5095,
      result->images_per_second);
  ExpectClasses(result->eval, golden.at("per_class"));
  ExpectConfusion(result->eval.confusion, golden.at("confusion"));
}

constexpr char kCoco8[] = "coco8/coco8.yaml", kCoco128[] = "coco128/data.yaml";
INSTANTIATE_TEST_SUITE_P(
    Coco, Validation,
    ::testing::Values(Case{"coco8", kCoco8, 4, "rect"}, Case{"coco8", kCoco8, 4, "square"},
                      Case{"coco8", kCoco8, 4, "single_cls"}, Case{"coco128", kCoco128, 16, "rect"},
                      Case{"coco128", kCoco128, 16, "square"},
                      Case{"coco128", kCoco128, 16, "single_cls"}),
    [](const auto& info) { return absl::StrCat(info.param.set, "_", info.param.shape); });

}  // namespace
}  // namespace yoke::engine
