#include "server/engine/eval/nms.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/model/detection_model.h"

namespace yoke::engine {
namespace {

using ::testing::ElementsAre;

struct Anchor {
  float x1, y1, x2, y2;
  std::vector<float> scores;  // by class
};

// (1, 4 + K, A), as the network predicts.
at::Tensor Predictions(const std::vector<Anchor>& anchors) {
  std::vector<at::Tensor> columns;
  for (const Anchor& a : anchors) {
    std::vector<float> column = {(a.x1 + a.x2) / 2, (a.y1 + a.y2) / 2, a.x2 - a.x1, a.y2 - a.y1};
    column.insert(column.end(), a.scores.begin(), a.scores.end());
    columns.push_back(at::tensor(column));
  }
  return at::stack(columns, 1).unsqueeze(0);
}

// The survivors' confidences.
std::vector<float> Confidences(const std::vector<Anchor>& anchors, const NmsOptions& options = {}) {
  const auto found = NonMaxSuppression(Predictions(anchors), options);
  std::vector<float> confidences;
  for (const Detection& d : found.at(0)) confidences.push_back(d.confidence);
  return confidences;
}

TEST(Nms, ABoxAtExactlyTheThresholdSurvives) {
  // The overlap of the second with the first is 70 / 100, of the third 80 / 100.
  EXPECT_THAT(Confidences({{0, 0, 10, 10, {0.9f}}, {0, 0, 7, 10, {0.8f}}}),
              ElementsAre(0.9f, 0.8f));
  EXPECT_THAT(Confidences({{0, 0, 10, 10, {0.9f}}, {0, 0, 8, 10, {0.8f}}}), ElementsAre(0.9f));
}

TEST(Nms, ASuppressedBoxSuppressesNothing) {
  EXPECT_THAT(Confidences({{0, 0, 10, 10, {0.9f}}, {2, 0, 12, 10, {0.8f}}, {4, 0, 14, 10, {0.7f}}},
                          {.iou = 0.5}),
              ElementsAre(0.9f, 0.7f));
}

TEST(Nms, ReturnsBoxesAsPredictedByFallingConfidence) {
  const auto found = NonMaxSuppression(
      Predictions({{-5, 3, 20, 700, {0.1f, 0.3f}}, {100, 100, 110, 120, {0.6f, 0.2f}}}), {});
  ASSERT_EQ(found.size(), 1u);
  ASSERT_EQ(found[0].size(), 2u);
  EXPECT_EQ(found[0][0].class_id, 0);
  EXPECT_FLOAT_EQ(found[0][0].x1, 100);
  EXPECT_FLOAT_EQ(found[0][0].y2, 120);
  EXPECT_EQ(found[0][1].class_id, 1);
  EXPECT_FLOAT_EQ(found[0][1].x1, -5) << "not clipped";
  EXPECT_FLOAT_EQ(found[0][1].confidence, 0.3f);
}

TEST(Nms, ConfidenceMustExceedTheLeast) {
  EXPECT_THAT(Confidences({{0, 0, 9, 9, {0.25f}}, {50, 50, 60, 60, {0.2501f}}}, {.conf = 0.25}),
              ElementsAre(0.2501f));
}

TEST(Nms, ClassesDoNotSuppressEachOtherUnlessAgnostic) {
  const std::vector<Anchor> same_place = {{0, 0, 10, 10, {0.9f, 0}}, {0, 0, 10, 10, {0, 0.8f}}};
  EXPECT_THAT(Confidences(same_place), ElementsAre(0.9f, 0.8f));
  EXPECT_THAT(Confidences(same_place, {.agnostic = true}), ElementsAre(0.9f));
}

TEST(Nms, MultiLabelGivesOneRowPerClassOfAnAnchor) {
  const std::vector<Anchor> anchors = {{0, 0, 10, 10, {0.9f, 0.8f, 0.1f}}};
  EXPECT_THAT(Confidences(anchors), ElementsAre(0.9f));
  EXPECT_THAT(Confidences(anchors, {.multi_label = true}), ElementsAre(0.9f, 0.8f));
}

TEST(Nms, KeepsOnlyTheClassesAskedFor) {
  const std::vector<Anchor> anchors = {{0, 0, 10, 10, {0.9f, 0.8f}}, {50, 0, 60, 10, {0.1f, 0.7f}}};
  // An anchor stands for its best class alone.
  EXPECT_THAT(Confidences(anchors, {.classes = {1}}), ElementsAre(0.7f));
  EXPECT_THAT(Confidences(anchors, {.multi_label = true, .classes = {1}}), ElementsAre(0.8f, 0.7f));
  EXPECT_THAT(Confidences(anchors, {.classes = {0, 7}}), ElementsAre(0.9f));
}

TEST(Nms, ReturnsAtMostMaxDet) {
  std::vector<Anchor> anchors;
  for (int i = 0; i < 20; ++i)
    anchors.push_back({20.0f * i, 0, 20.0f * i + 10, 10, {0.3f + 0.01f * i}});
  EXPECT_EQ(Confidences(anchors).size(), 20u);
  EXPECT_THAT(Confidences(anchors, {.max_det = 2}),
              ElementsAre(0.3f + 0.01f * 19, 0.3f + 0.01f * 18));
}

TEST(Nms, OnlyThe30000MostConfidentEnter) {
  // 30,000 copies of one box, and less confident ones elsewhere that would survive if they entered.
  at::Tensor predictions = at::zeros({1, 5, 30010});
  predictions.select(1, 0).fill_(50);
  predictions.select(1, 1).fill_(50);
  predictions.select(1, 2).fill_(20);
  predictions.select(1, 3).fill_(20);
  predictions.select(1, 4).fill_(0.9);
  const at::Tensor last = predictions.narrow(2, 0, 10);
  last.select(1, 0).copy_((at::arange(10, at::kFloat) * 100 + 500).unsqueeze(0));
  last.select(1, 4).fill_(0.5);
  EXPECT_EQ(NonMaxSuppression(predictions, {}).at(0).size(), 1u);
  EXPECT_EQ(NonMaxSuppression(predictions.narrow(2, 0, 30000), {}).at(0).size(), 11u);
}

TEST(Nms, ImagesAreSeparateAndMayHaveNothing) {
  const at::Tensor both =
      at::cat({Predictions({{0, 0, 10, 10, {0.9f}}}), Predictions({{0, 0, 10, 10, {0.1f}}})});
  const auto found = NonMaxSuppression(both, {});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].size(), 1u);
  EXPECT_TRUE(found[1].empty());
}

// Maps as a network gives them, with logits from far below any threshold to far above.
HeadMaps RandomMaps(int64_t images, int64_t classes) {
  HeadMaps maps;
  for (size_t level = 0; level < 3; ++level) {
    const int64_t height = 12 >> level, width = 20 >> level;
    maps.box[level] = at::randn({images, height, width, 64}).mul_(2).permute({0, 3, 1, 2});
    // Rows wider than the classes, as where channels are padded.
    maps.cls[level] = at::randn({images, height, width, classes + 5})
                          .mul_(3)
                          .sub_(3)
                          .narrow(3, 0, classes)
                          .permute({0, 3, 1, 2});
  }
  return maps;
}

TEST(Nms, FindsInMapsWhatItFindsInTheirPredictions) {
  at::manual_seed(3);
  for (const int classes : {1, 7}) {
    const auto model = *DetectionModel::Create({'n', classes});
    const HeadMaps maps = RandomMaps(2, classes);
    const at::Tensor predictions = model->Decode(maps);
    const NmsOptions cases[] = {{},
                                {.conf = 0.001, .multi_label = true},
                                {.conf = 0.6, .iou = 0.3, .agnostic = true},
                                {.conf = 0, .max_det = 50},
                                {.conf = 1},
                                {.multi_label = true, .classes = {0, 3}}};
    for (const NmsOptions& options : cases) {
      const auto want = NonMaxSuppression(predictions, options);
      for (int64_t image = 0; image < 2; ++image) {
        const std::vector<Detection> got = NonMaxSuppression(maps, image, options);
        const std::vector<Detection>& expected = want[static_cast<size_t>(image)];
        ASSERT_EQ(got.size(), expected.size())
            << "conf " << options.conf << ", classes " << classes;
        EXPECT_EQ(got.empty(), options.conf == 1);
        for (size_t i = 0; i < got.size(); ++i) {
          EXPECT_EQ(got[i].class_id, expected[i].class_id);
          EXPECT_NEAR(got[i].confidence, expected[i].confidence, 1e-6);
          EXPECT_NEAR(got[i].x1, expected[i].x1, 1e-3);  // float32 at hundreds of px
          EXPECT_NEAR(got[i].y2, expected[i].y2, 1e-3);
        }
      }
    }
  }
}

}  // namespace
}  // namespace yoke::engine
