#include "server/engine/eval/ensemble.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yoke::engine {
namespace {

using ::testing::HasSubstr;
using Members = std::vector<std::vector<Detection>>;

// 100 px high, from `x` on.
Detection Box(float x, float width, float confidence, int class_id = 0) {
  return {x, 0, x + width, 100, confidence, class_id};
}

EnsembleOptions Options(EnsembleOptions::Method method, std::vector<double> weights) {
  EnsembleOptions options;
  options.method = method;
  options.weights = std::move(weights);
  return options;
}

TEST(WeightedBoxes, OneObjectOfTwoModelsIsTheirWeightedMean) {
  const auto fused = Fuse({{Box(0, 100, 0.9f)}, {Box(10, 100, 0.3f)}},
                          Options(EnsembleOptions::kWeightedBoxes, {1, 1}));
  ASSERT_EQ(fused.size(), 1u);
  EXPECT_NEAR(fused[0].x1, 10 * 0.3 / 1.2, 1e-5);
  EXPECT_NEAR(fused[0].x2, 100 + 10 * 0.3 / 1.2, 1e-5);
  EXPECT_NEAR(fused[0].confidence, 0.6, 1e-6);
}

TEST(WeightedBoxes, AModelCountsByItsWeight) {
  const auto fused = Fuse({{Box(0, 100, 0.9f)}, {Box(10, 100, 0.3f)}},
                          Options(EnsembleOptions::kWeightedBoxes, {3, 1}));
  ASSERT_EQ(fused.size(), 1u);
  EXPECT_NEAR(fused[0].x1, 10 * 0.3 / 3.0, 1e-5);
  EXPECT_NEAR(fused[0].confidence, (3 * 0.9 + 0.3) / 4, 1e-6);
}

TEST(WeightedBoxes, WhatOneModelAloneSawLosesConfidence) {
  const auto fused = Fuse({{Box(0, 100, 0.8f)}, {Box(500, 100, 0.6f)}},
                          Options(EnsembleOptions::kWeightedBoxes, {3, 1}));
  ASSERT_EQ(fused.size(), 2u);
  EXPECT_NEAR(fused[0].confidence, 0.8 * 3 / 4, 1e-6);
  EXPECT_NEAR(fused[1].confidence, 0.6 * 1 / 4, 1e-6);
}

TEST(WeightedBoxes, AModelThatDoesNotKnowAClassDoesNotVoteAgainstIt) {
  EnsembleOptions options = Options(EnsembleOptions::kWeightedBoxes, {1, 1});
  options.knows = {{1, 1}, {1, 0}};
  const auto fused = Fuse({{Box(0, 100, 0.8f, 1), Box(500, 100, 0.6f, 0)}, {}}, options);
  ASSERT_EQ(fused.size(), 2u);
  EXPECT_EQ(fused[0].class_id, 1);
  EXPECT_NEAR(fused[0].confidence, 0.8, 1e-6) << "all who know it agree";
  EXPECT_NEAR(fused[1].confidence, 0.3, 1e-6);
}

TEST(Ensemble, ClassesAreFusedApartUnlessAgnostic) {
  const Members members = {{Box(0, 100, 0.9f, 0)}, {Box(5, 100, 0.8f, 1)}};
  for (const auto method : {EnsembleOptions::kNms, EnsembleOptions::kWeightedBoxes}) {
    EnsembleOptions options = Options(method, {1, 1});
    EXPECT_EQ(Fuse(members, options).size(), 2u);
    options.agnostic = true;
    const auto fused = Fuse(members, options);
    ASSERT_EQ(fused.size(), 1u);
    EXPECT_EQ(fused[0].class_id, 0) << "the more confident one's";
  }
}

TEST(Ensemble, SuppressionKeepsTheBetterBoxAsItIs) {
  const auto fused = Fuse({{Box(0, 100, 0.5f)}, {Box(10, 100, 0.7f), Box(500, 50, 0.1f)}},
                          Options(EnsembleOptions::kNms, {1, 1}));
  ASSERT_EQ(fused.size(), 2u);
  EXPECT_EQ(fused[0].x1, 10);
  EXPECT_FLOAT_EQ(fused[0].confidence, 0.7f) << "equal weights change no confidence";
  EXPECT_FLOAT_EQ(fused[1].confidence, 0.1f);
}

TEST(Ensemble, SuppressionPrefersTheHeavierModel) {
  const auto fused =
      Fuse({{Box(0, 100, 0.5f)}, {Box(10, 100, 0.7f)}}, Options(EnsembleOptions::kNms, {2, 1}));
  ASSERT_EQ(fused.size(), 1u);
  EXPECT_EQ(fused[0].x1, 0);
  EXPECT_FLOAT_EQ(fused[0].confidence, 0.5f);
}

TEST(Ensemble, SoftSuppressionLowersByTheGaussianOfTheOverlap) {
  EnsembleOptions options = Options(EnsembleOptions::kSoftNms, {1, 1});
  const double iou = 90.0 / 110.0;
  const Members members = {{Box(0, 100, 0.9f)}, {Box(10, 100, 0.8f), Box(500, 100, 0.4f)}};
  auto fused = Fuse(members, options);
  ASSERT_EQ(fused.size(), 3u);
  EXPECT_FLOAT_EQ(fused[0].confidence, 0.9f);
  EXPECT_FLOAT_EQ(fused[1].confidence, 0.4f) << "stands alone";
  EXPECT_NEAR(fused[2].confidence, 0.8 * std::exp(-iou * iou / 0.5), 1e-6);
  options.conf = 0.3;
  EXPECT_EQ(Fuse(members, options).size(), 2u);
}

TEST(Ensemble, LimitsConfidenceAndNumber) {
  EnsembleOptions options = Options(EnsembleOptions::kWeightedBoxes, {1});
  std::vector<Detection> boxes;
  for (int i = 0; i < 10; ++i)
    boxes.push_back(Box(200.0f * static_cast<float>(i), 100, 0.05f * static_cast<float>(i + 1)));
  options.conf = 0.25;
  const auto confident = Fuse({boxes}, options);
  ASSERT_EQ(confident.size(), 5u) << "0.25 itself is not over 0.25";
  EXPECT_FLOAT_EQ(confident[0].confidence, 0.5f);
  options.max_det = 2;
  EXPECT_EQ(Fuse({boxes}, options).size(), 2u);
}

TEST(Ensemble, LeavesOutWhatCannotCount) {
  for (const auto method :
       {EnsembleOptions::kNms, EnsembleOptions::kSoftNms, EnsembleOptions::kWeightedBoxes}) {
    const EnsembleOptions options = Options(method, {1, 0});
    EXPECT_TRUE(Fuse({{}, {}}, options).empty());
    EXPECT_TRUE(Fuse({{Box(10, 0, 0.9f), Box(30, -10, 0.9f)}, {}}, options).empty()) << "no area";
    const auto fused = Fuse({{Box(0, 100, 0.5f)}, {Box(0, 90, 0.9f)}}, options);
    ASSERT_EQ(fused.size(), 1u) << "weight 0";
    EXPECT_FLOAT_EQ(fused[0].x2, 100);
    EXPECT_FLOAT_EQ(fused[0].confidence, 0.5f);
  }
}

TEST(Ensemble, OneModelTwiceIsThatModel) {
  const std::vector<Detection> boxes = {Box(0, 100, 0.9f, 1), Box(300, 40, 0.4f, 0),
                                        Box(600, 40, 0.2f, 1)};
  for (const auto method : {EnsembleOptions::kNms, EnsembleOptions::kWeightedBoxes}) {
    const auto fused = Fuse({boxes, boxes}, Options(method, {1, 1}));
    ASSERT_EQ(fused.size(), boxes.size());
    for (size_t i = 0; i < boxes.size(); ++i) {
      EXPECT_FLOAT_EQ(fused[i].confidence, boxes[i].confidence);
      EXPECT_FLOAT_EQ(fused[i].x1, boxes[i].x1);
      EXPECT_FLOAT_EQ(fused[i].x2, boxes[i].x2);
    }
  }
}

TEST(Ensemble, SaysWhatCannotBeUsed) {
  const auto refusal = [](const std::string& method, const std::vector<double>& weights) {
    const auto options = ResolveEnsemble({method, weights, 0.55}, 2);
    EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(options.status().message());
  };
  EXPECT_THAT(refusal("vote", {}), HasSubstr("nms, soft_nms or wbf"));
  EXPECT_THAT(refusal("wbf", {1, 2, 3}), HasSubstr("3 numbers for 2 models"));
  EXPECT_THAT(refusal("wbf", {1, -1}), HasSubstr("-1"));
  EXPECT_THAT(refusal("wbf", {NAN, 1}), HasSubstr("nan"));
  EXPECT_THAT(refusal("nms", {0, 0}), HasSubstr("all are 0"));
  EXPECT_EQ(ResolveEnsemble({"wbf", {}, 0.55}, 2)->weights, (std::vector<double>{1, 1}));
}

TEST(Ensemble, MembersReportBelowTheLimitWhereConfidencesAreAveraged) {
  EXPECT_DOUBLE_EQ(MemberConfidence(Options(EnsembleOptions::kWeightedBoxes, {1, 1}), 0.3), 0.15);
  EXPECT_DOUBLE_EQ(MemberConfidence(Options(EnsembleOptions::kNms, {1, 1}), 0.3), 0.3);
  EXPECT_DOUBLE_EQ(MemberConfidence(Options(EnsembleOptions::kSoftNms, {1, 1}), 0.3), 0.3);
}

}  // namespace
}  // namespace yoke::engine
