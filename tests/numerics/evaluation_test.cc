// Curves and confusion matrix of recorded detections against the reference's (8.4.190).
#include "gtest/gtest.h"
#include "server/engine/eval/metrics.h"
#include "tests/numerics/golden_file.h"
#include "tests/unit/eval/recorded_rows.h"

namespace yoke::engine {
namespace {

constexpr float kRounding = 1e-6f;  // the curves are stored as float32

void ExpectCurve(const std::vector<float>& curve, const at::Tensor& want) {
  ASSERT_EQ(curve.size(), kCurvePoints);
  ASSERT_EQ(want.numel(), static_cast<int64_t>(kCurvePoints));
  for (size_t i = 0; i < kCurvePoints; ++i)
    ASSERT_NEAR(curve[i], want[static_cast<int64_t>(i)].item<float>(), kRounding) << i;
}

TEST(Curves, AreTheReferences) {
  const Curves curves = Evaluate(RecordedRows(), {"a", "b", "c"}).curves;
  auto golden = ReadGolden("evaluation_curves.golden");
  ASSERT_EQ(curves.classes.size(), 2u) << "the third class has no objects";
  for (int c = 0; c < 2; ++c) {
    SCOPED_TRACE(c);
    const ClassCurve& curve = curves.classes[static_cast<size_t>(c)];
    EXPECT_EQ(curve.class_id, c);
    ExpectCurve(curve.precision, golden.at("precision")[c]);
    ExpectCurve(curve.recall, golden.at("recall")[c]);
    ExpectCurve(curve.f1, golden.at("f1")[c]);
    ExpectCurve(curve.precision_at_recall, golden.at("precision_at_recall")[c]);
  }
}

TEST(ConfusionMatrix, IsTheReferences) {
  auto golden = ReadGolden("evaluation_confusion.golden");
  const at::Tensor& truths = golden.at("truths");
  const at::Tensor& detections = golden.at("detections");
  const at::Tensor& want = golden.at("matrix");
  const int classes = static_cast<int>(want.size(0)) - 1;
  std::vector<std::vector<GroundTruth>> truths_by_image(16);
  std::vector<std::vector<Detection>> detections_by_image(16);
  for (int64_t i = 0; i < truths.size(0); ++i) {
    const float* r = truths.data_ptr<float>() + 6 * i;
    truths_by_image.at(static_cast<size_t>(r[0]))
        .push_back({r[2], r[3], r[4], r[5], static_cast<int>(r[1])});
  }
  for (int64_t i = 0; i < detections.size(0); ++i) {
    const float* r = detections.data_ptr<float>() + 7 * i;
    detections_by_image.at(static_cast<size_t>(r[0]))
        .push_back({r[3], r[4], r[5], r[6], r[1], static_cast<int>(r[2])});
  }
  ConfusionMatrix matrix = EmptyConfusion(classes);
  for (size_t i = 0; i < truths_by_image.size(); ++i)
    CountImage(detections_by_image[i], truths_by_image[i], 0.25, matrix);
  for (int predicted = 0; predicted <= classes; ++predicted) {
    for (int truth = 0; truth <= classes; ++truth) {
      EXPECT_EQ(matrix.at(predicted, truth), want[predicted][truth].item<float>())
          << predicted << " for " << truth;
    }
  }
}

}  // namespace
}  // namespace yoke::engine
