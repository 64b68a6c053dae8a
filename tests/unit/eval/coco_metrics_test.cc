// Small cases by hand; tests/numerics/coco_test.py compares large random sets with pycocotools.
#include "server/engine/eval/coco_metrics.h"

#include "gtest/gtest.h"

namespace yoke::engine {
namespace {

TEST(CocoMetrics, WithoutObjectsThereIsNothingToMeasure) {
  for (const CocoMetrics& m : {EvaluateCoco({}), EvaluateCoco({{{}, {{{0, 0, 9, 9, 0}, 0.5}}}})}) {
    EXPECT_EQ(m.ap, -1);
    EXPECT_EQ(m.ar1, -1);
    EXPECT_EQ(m.ar_large, -1);
  }
}

TEST(CocoMetrics, APerfectSetIsOneAndKindsThatAreNotThereAreTold) {
  const CocoMetrics m = EvaluateCoco({{{{0, 0, 50, 50, 3}}, {{{0, 0, 50, 50, 3}, 0.5}}}});
  for (const double value :
       {m.ap, m.ap50, m.ap75, m.ap_medium, m.ar1, m.ar10, m.ar100, m.ar_medium}) {
    EXPECT_DOUBLE_EQ(value, 1);
  }
  for (const double value : {m.ap_small, m.ap_large, m.ar_small, m.ar_large}) EXPECT_EQ(value, -1);
}

TEST(CocoMetrics, LimitsOfSizesBelongToBoth) {
  const CocoMetrics m = EvaluateCoco({{{{0, 0, 32, 32, 0}}, {{{0, 0, 32, 32, 0}, 0.5}}}});
  EXPECT_DOUBLE_EQ(m.ap_small, 1);
  EXPECT_DOUBLE_EQ(m.ap_medium, 1);
}

TEST(CocoMetrics, OneOfTwoObjectsAndOneDetectionAnImage) {
  const CocoImage image{{{0, 0, 50, 50, 0}, {100, 0, 50, 50, 0}},
                        {{{0, 0, 50, 50, 0}, 0.9}, {{100, 0, 50, 50, 0}, 0.8}}};
  const CocoMetrics m = EvaluateCoco({image});
  EXPECT_DOUBLE_EQ(m.ar1, 0.5);
  EXPECT_DOUBLE_EQ(m.ar10, 1);
}

TEST(CocoMetrics, AMissHalvesThePrecisionBehindIt) {
  // The first detection is wrong, the second right: precision 1/2 up to recall 1.
  const CocoMetrics m =
      EvaluateCoco({{{{0, 0, 50, 50, 0}}, {{{200, 0, 50, 50, 0}, 0.9}, {{0, 0, 50, 50, 0}, 0.8}}}});
  EXPECT_NEAR(m.ap50, 0.5, 1e-12);
  EXPECT_DOUBLE_EQ(m.ar1, 0);
  EXPECT_DOUBLE_EQ(m.ar10, 1);
}

}  // namespace
}  // namespace yoke::engine
