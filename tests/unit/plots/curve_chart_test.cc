#include "server/engine/plots/curve_chart.h"

#include <cmath>
#include <limits>
#include <set>

#include "gtest/gtest.h"
#include "tests/unit/plots/layout_checks.h"

namespace yoke::engine {
namespace {

// Precision rises with the confidence, recall falls; F1 is highest at 0.5 for every class.
Curves CurvesOf(const std::vector<std::string>& names) {
  Curves curves;
  for (size_t i = 0; i < names.size(); ++i) {
    ClassCurve& curve = curves.classes.emplace_back();
    curve.class_id = static_cast<int>(i);
    curve.name = names[i];
    curve.ap50 = 0.25 + 0.5 * static_cast<double>(i) / static_cast<double>(names.size());
    for (size_t k = 0; k < kCurvePoints; ++k) {
      const float x = static_cast<float>(k) / (kCurvePoints - 1);
      curve.precision.push_back(x);
      curve.recall.push_back(1 - x);
      curve.f1.push_back(4 * x * (1 - x));
      curve.precision_at_recall.push_back(1 - x * x);
    }
  }
  return curves;
}

std::set<std::string> ColoursOf(const Figure& figure) {
  std::set<std::string> colours;
  for (const DrawnLine& line : figure.layout.lines) {
    colours.insert({static_cast<char>(line.colour.red), static_cast<char>(line.colour.green),
                    static_cast<char>(line.colour.blue)});
  }
  return colours;
}

TEST(CurveChart, GivesEachOfFewClassesAColourAndItsAveragePrecision) {
  const Figure figure = DrawPrecisionRecall(CurvesOf(NumberedNames(20)));
  ExpectTidy(figure);
  ASSERT_EQ(figure.layout.lines.size(), 21u);
  EXPECT_EQ(ColoursOf(figure).size(), 21u);
  EXPECT_GT(figure.layout.lines.back().width, figure.layout.lines.front().width);
  EXPECT_TRUE(HasText(figure, "class number 10 0.500"));
  EXPECT_TRUE(HasText(figure, "all classes 0.487 mAP@0.5"));  // the mean of 0.25 + 0.025 i
}

TEST(CurveChart, DrawsManyClassesInGreyWithoutNames) {
  for (const int classes : {21, 1000}) {
    const Figure figure = DrawPrecisionRecall(CurvesOf(NumberedNames(classes)));
    ExpectTidy(figure);
    EXPECT_EQ(figure.layout.lines.size(), static_cast<size_t>(classes) + 1);
    EXPECT_EQ(ColoursOf(figure).size(), 2u);
    EXPECT_FALSE(HasText(figure, "class number 1 0.250"));
  }
}

TEST(CurveChart, NamesTheHighestPointOverTheConfidence) {
  const Curves curves = CurvesOf({"cell"});
  const Figure f1 = DrawOverConfidence(curves, ConfidenceCurve::kF1);
  ExpectTidy(f1);
  // 4 x (1 - x) under a box filter of a tenth of the axis: 1 - 4 * 0.05^2 / 3 at the middle.
  EXPECT_TRUE(HasText(f1, "all classes 1.00 at 0.499") || HasText(f1, "all classes 1.00 at 0.501"));
  EXPECT_TRUE(HasText(f1, "F1-Confidence Curve"));
  const Figure precision = DrawOverConfidence(curves, ConfidenceCurve::kPrecision);
  // Smoothed at the edge: 51 of the 101 points are 1, the others 0.975 in the mean.
  EXPECT_TRUE(HasText(precision, "all classes 0.99 at 1.000"));
  const Figure recall = DrawOverConfidence(curves, ConfidenceCurve::kRecall);
  EXPECT_TRUE(HasText(recall, "all classes 0.99 at 0.000"));
}

TEST(CurveChart, TakesOddNamesAndBrokenCurves) {
  Curves curves = CurvesOf(OddNames());
  curves.classes[1].f1.clear();
  curves.classes[2].f1.assign(5, 1.0f);
  curves.classes[3].f1.assign(kCurvePoints, std::numeric_limits<float>::quiet_NaN());
  curves.classes[4].ap50 = std::nan("");
  ExpectTidy(DrawPrecisionRecall(curves));
  const Figure figure = DrawOverConfidence(curves, ConfidenceCurve::kF1);
  ExpectTidy(figure);
  EXPECT_EQ(figure.layout.lines.size(),
            OddNames().size());  // the broken one is left out, "all" is there
}

TEST(CurveChart, SaysThatThereAreNoObjects) {
  const Figure figure = DrawPrecisionRecall({});
  ExpectTidy(figure);
  EXPECT_TRUE(HasText(figure, "no labelled objects"));
  EXPECT_TRUE(figure.layout.lines.empty());
}

TEST(BoxFiltered, IsTheMeanOfAHundredAndOnePoints) {
  std::vector<double> values(1000, 0.0);
  values[500] = 101;
  const std::vector<double> filtered = BoxFiltered(values);
  EXPECT_NEAR(filtered[450], 1, 1e-12);
  EXPECT_NEAR(filtered[550], 1, 1e-12);
  EXPECT_EQ(filtered[449], 0);
  values[0] = 101;
  EXPECT_NEAR(BoxFiltered(values)[0], 51, 1e-12);  // itself, and the 50 places before it
}

}  // namespace
}  // namespace yoke::engine
