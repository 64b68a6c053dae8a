#include "server/engine/eval/confusion_matrix.h"

#include <numeric>

#include "gtest/gtest.h"

namespace yoke::engine {
namespace {

constexpr int kBackground = 3;  // with three classes

// A box of `width` by 100 px.
Detection Found(float width, float confidence, int class_id) {
  return {0, 0, width, 100, confidence, class_id};
}

ConfusionMatrix Count(const std::vector<Detection>& detections,
                      const std::vector<GroundTruth>& truths, double conf = 0.25) {
  ConfusionMatrix matrix = EmptyConfusion(3);
  CountImage(detections, truths, conf, matrix);
  return matrix;
}

int64_t Sum(const ConfusionMatrix& matrix) {
  return std::accumulate(matrix.counts.begin(), matrix.counts.end(), int64_t{0});
}

TEST(ConfusionMatrix, CountsWhatWasFoundForWhatMissedAndInvented) {
  const std::vector<GroundTruth> truths = {{0, 0, 100, 100, 0}, {500, 0, 600, 100, 1}};
  const ConfusionMatrix matrix = Count({Found(90, 0.9f, 2), {200, 0, 300, 100, 0.8f, 1}}, truths);
  EXPECT_EQ(matrix.at(2, 0), 1) << "another class at the right place";
  EXPECT_EQ(matrix.at(1, kBackground), 1) << "nothing is there";
  EXPECT_EQ(matrix.at(kBackground, 1), 1) << "missed";
  EXPECT_EQ(Sum(matrix), 3);
}

TEST(ConfusionMatrix, BothThresholdsMustBeExceeded) {
  const std::vector<GroundTruth> truths = {{0, 0, 100, 100, 0}};
  EXPECT_EQ(Count({Found(90, 0.25f, 0)}, truths).at(0, 0), 0);
  EXPECT_EQ(Count({Found(90, 0.26f, 0)}, truths).at(0, 0), 1);
  EXPECT_EQ(Count({Found(44, 0.9f, 0)}, truths).at(0, 0), 0) << "IoU 0.44";
  EXPECT_EQ(Count({Found(44, 0.9f, 0)}, truths).at(0, kBackground), 1);
  EXPECT_EQ(Count({Found(46, 0.9f, 0)}, truths).at(0, 0), 1) << "IoU 0.46";
}

TEST(ConfusionMatrix, TheMoreConfidentDetectionHasTheTruthAndTheOtherTakesTheNextBest) {
  const std::vector<GroundTruth> truths = {{0, 0, 100, 100, 0}, {0, 0, 60, 100, 1}};
  // Given by rising confidence; both overlap the first truth most.
  const ConfusionMatrix matrix = Count({Found(90, 0.5f, 1), Found(100, 0.9f, 0)}, truths);
  EXPECT_EQ(matrix.at(0, 0), 1);
  EXPECT_EQ(matrix.at(1, 1), 1) << "60 of 90 px";
  EXPECT_EQ(Sum(matrix), 2);
}

TEST(ConfusionMatrix, ImagesWithoutTruthsOrDetections) {
  EXPECT_EQ(Sum(Count({}, {})), 0);
  EXPECT_EQ(Count({Found(90, 0.9f, 2)}, {}).at(2, kBackground), 1);
  EXPECT_EQ(Count({}, {{0, 0, 9, 9, 2}}).at(kBackground, 2), 1);
}

TEST(ConfusionMatrix, TheDefaultConfidenceOfValidationIsNotTheMatrixs) {
  EXPECT_EQ(ConfusionConfidence(0.001), 0.25);
  EXPECT_EQ(ConfusionConfidence(0.1), 0.1);
}

TEST(ConfusionMatrix, RanksAddUp) {
  const ConfusionMatrix one = Count({Found(90, 0.9f, 2)}, {{0, 0, 100, 100, 0}});
  ConfusionMatrix sum = Count({}, {{0, 0, 9, 9, 2}});
  ASSERT_TRUE(AddConfusion(EncodeConfusion(one), sum).ok());
  ASSERT_TRUE(AddConfusion(EncodeConfusion(one), sum).ok());
  EXPECT_EQ(sum.at(2, 0), 2);
  EXPECT_EQ(sum.at(kBackground, 2), 1);
  EXPECT_EQ(EncodeConfusion(one).size(), 16u) << "only what is not 0 is sent";

  ConfusionMatrix smaller = EmptyConfusion(1);
  EXPECT_EQ(AddConfusion(EncodeConfusion(one), smaller).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(AddConfusion("half", sum).code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace yoke::engine
