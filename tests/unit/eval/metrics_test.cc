#include "server/engine/eval/metrics.h"

#include <cmath>

#include "gtest/gtest.h"
#include "server/engine/eval/average_precision.h"
#include "server/engine/eval/image_results.h"
#include "tests/unit/eval/recorded_rows.h"

namespace yoke::engine {
namespace {

constexpr uint16_t kAll = 0x3FF;

TEST(AveragePrecision, DiffersByEraAfterTheLastRecall) {
  const std::vector<double> recall = {0.2, 0.4, 0.4, 0.6}, precision = {1, 1, 2.0 / 3, 0.75};
  EXPECT_NEAR(AveragePrecision(EnvelopeOf(recall, precision, true)), 0.69875, 1e-9);
  EXPECT_NEAR(AveragePrecision(EnvelopeOf(recall, precision, false)), 0.54500, 1e-9);
}

TEST(MatchImage, ErasDisagreeOnADetectionWhoseBestTruthIsTaken) {
  // The second detection overlaps the first truth by 0.739 and the second by 0.626.
  const std::vector<GroundTruth> truths = {{0, 0, 100, 100, 0}, {38, 0, 138, 100, 0}};
  const std::vector<Detection> detections = {{0, 0, 100, 100, 0.9f, 0}, {15, 0, 115, 100, 0.8f, 0}};
  const ImageResult result = MatchImage(detections, truths, detections, truths);
  ASSERT_EQ(result.detections.size(), 2u);
  EXPECT_EQ(result.detections[0].correct, kAll);
  EXPECT_EQ(result.detections[0].correct_classic, kAll);
  EXPECT_EQ(result.detections[1].correct, 0b111) << "takes what is free";
  EXPECT_EQ(result.detections[1].correct_classic, 0) << "insists on its best";
  EXPECT_EQ(result.gt_classes, (std::vector<int32_t>{0, 0}));
}

TEST(MatchImage, CountsNoTruthTwiceAndNoWrongClass) {
  const std::vector<GroundTruth> truths = {{0, 0, 100, 100, 1}};
  const std::vector<Detection> detections = {
      {0, 0, 100, 100, 0.9f, 0}, {0, 0, 100, 90, 0.8f, 1}, {0, 0, 100, 100, 0.7f, 1}};
  const ImageResult result = MatchImage(detections, truths, detections, truths);
  EXPECT_EQ(result.detections[0].correct, 0) << "another class";
  EXPECT_EQ(result.detections[1].correct & 1, 1) << "the more confident one has it";
  EXPECT_EQ(result.detections[2].correct & 1, 0);
  EXPECT_EQ(result.detections[2].correct >> 9, 1) << "at IoU 0.95 only the exact box counts";
  EXPECT_EQ(result.detections[2].correct_classic & 1, 0);
}

TEST(MatchImage, TheOlderEraMatchesInPixelsOfThePhoto) {
  const std::vector<GroundTruth> truths = {{0, 0, 10, 10, 0}}, scaled = {{0, 0, 20, 10, 0}};
  const std::vector<Detection> detections = {{0, 0, 10, 10, 0.9f, 0}},
                               scaled_detections = {{0, 0, 12, 10, 0.9f, 0}};
  const ImageResult result = MatchImage(detections, truths, scaled_detections, scaled);
  EXPECT_EQ(result.detections[0].correct, kAll);
  EXPECT_EQ(result.detections[0].correct_classic, 0b111);  // 12 / 20
}

TEST(Evaluate, APerfectSetIsPerfect) {
  std::vector<ImageResult> results;
  for (int i = 0; i < 4; ++i) results.push_back({{{0.9f, i % 2, kAll, kAll}}, {i % 2}});
  const EvalResult result = Evaluate(results, {"cat", "dog"});
  EXPECT_EQ(result.images, 4);
  EXPECT_EQ(result.instances, 4);
  for (const DetectionMetrics& m : {result.metrics, result.metrics_classic}) {
    EXPECT_NEAR(m.precision, 1, 1e-9);
    EXPECT_NEAR(m.recall, 1, 1e-9);
    // The curve is made to end at precision 0, so the area lacks half of its last hundredth.
    EXPECT_NEAR(m.map50, 0.995, 1e-9);
    EXPECT_NEAR(m.map5095, 0.995, 1e-9);
    EXPECT_NEAR(m.fitness, 0.995, 1e-9);
  }
  ASSERT_EQ(result.per_class.size(), 2u);
  EXPECT_EQ(result.per_class[1].name, "dog");
  EXPECT_EQ(result.per_class[1].images, 2);
}

TEST(Evaluate, NothingFoundAndNothingToFindAreZeroWithoutNan) {
  const EvalResult nothing_found = Evaluate({{{}, {0, 0, 1}}, {{}, {}}}, {"cat", "dog"});
  EXPECT_EQ(nothing_found.images, 2);
  EXPECT_EQ(nothing_found.instances, 3);
  EXPECT_EQ(nothing_found.per_class.size(), 2u);
  EXPECT_EQ(nothing_found.metrics.map50, 0);
  EXPECT_EQ(nothing_found.metrics.recall, 0);
  const EvalResult empty = Evaluate({}, {"cat"});
  EXPECT_EQ(empty.images, 0);
  EXPECT_TRUE(empty.per_class.empty());
  const EvalResult background = Evaluate({{{{0.9f, 0, 0, 0}}, {}}}, {"cat"});
  for (const EvalResult& result : {nothing_found, empty, background}) {
    EXPECT_EQ(result.metrics.fitness, 0);
    EXPECT_EQ(result.metrics_classic.fitness, 0);
    EXPECT_FALSE(std::isnan(result.metrics.precision));
  }
}

TEST(Evaluate, AClassWithoutTruthsCountsNowhere) {
  const std::vector<ImageResult> results = {
      {{{0.9f, 0, kAll, kAll}, {0.8f, 1, 0, 0}, {0.7f, 1, 0, 0}}, {0}}};
  const EvalResult result = Evaluate(results, {"cat", "dog"});
  ASSERT_EQ(result.per_class.size(), 1u);
  EXPECT_NEAR(result.metrics.map5095, 0.995, 1e-9);
  EXPECT_NEAR(result.metrics.precision, 1, 1e-9);
}

// The figures are those of the reference's ap_per_class (8.4.190) for the same rows.
TEST(Evaluate, HasTheReferencesFigures) {
  const EvalResult result = Evaluate(RecordedRows(), {"a", "b", "c"});
  EXPECT_NEAR(result.metrics.precision, 0.7014925373134329, 1e-9);
  EXPECT_NEAR(result.metrics.recall, 0.7273809523809524, 1e-9);
  EXPECT_NEAR(result.metrics.map50, 0.5251205479645252, 1e-9);
  EXPECT_NEAR(result.metrics.map5095, 0.24186025591921512, 1e-9);
  EXPECT_NEAR(result.metrics.fitness, 0.24186025591921512, 1e-9);
  EXPECT_NEAR(result.metrics_classic.fitness,
              0.1 * result.metrics_classic.map50 + 0.9 * result.metrics_classic.map5095, 1e-12);
  EXPECT_GT(result.metrics_classic.map50, result.metrics.map50);
}

TEST(ImageResults, SurviveTheWayToAnotherRank) {
  const std::vector<ImageResult> sent = {{{{0.5f, 3, kAll, 5}, {0.25f, 1, 0, 1}}, {3, 3, 7}},
                                         {{}, {}}};
  const std::string bytes = EncodeImageResults(sent);
  std::vector<ImageResult> got;
  ASSERT_TRUE(DecodeImageResults(bytes, got).ok());
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].gt_classes, sent[0].gt_classes);
  EXPECT_EQ(got[0].detections[1].correct_classic, 1);
  EXPECT_EQ(EncodeImageResults(got), bytes);
  for (size_t size = 1; size < bytes.size(); ++size) {
    std::vector<ImageResult> broken;
    const bool whole_image = size == EncodeImageResults({sent[0]}).size();
    EXPECT_EQ(DecodeImageResults(bytes.substr(0, size), broken).ok(), whole_image) << size;
  }
}

}  // namespace
}  // namespace yoke::engine
