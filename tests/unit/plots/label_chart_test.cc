#include "server/engine/plots/label_chart.h"

#include <cmath>

#include "gtest/gtest.h"
#include "tests/unit/plots/layout_checks.h"

namespace yoke::engine {
namespace {

Split SplitOf(int images, int classes) {
  Split split;
  for (int i = 0; i < images; ++i) {
    Sample& sample = split.samples.emplace_back();
    for (int k = 0; k < 5; ++k) {
      const float at = static_cast<float>((i * 7 + k * 13) % 100) / 100;
      sample.labels.push_back({(i + k) % classes, at, 1 - at, 0.05f + at / 2, 0.1f});
    }
  }
  return split;
}

TEST(LabelChart, HasFourPanelsAndTheCountsOfFewClasses) {
  const Figure figure = DrawLabels(SplitOf(12, 3), {"red", "green", "blue"});
  ExpectTidy(figure);
  EXPECT_EQ(figure.layout.panels.size(), 4u);
  for (const char* text : {"red", "green", "blue", "20"})
    EXPECT_TRUE(HasText(figure, text)) << text;
}

TEST(LabelChart, TakesAnyNumberOfClasses) {
  for (const int classes : {1, 30, 31, 1000}) {
    SCOPED_TRACE(classes);
    ExpectTidy(DrawLabels(SplitOf(100, classes), NumberedNames(classes)));
  }
  ExpectTidy(DrawLabels(SplitOf(40, static_cast<int>(OddNames().size())), OddNames()));
}

TEST(LabelChart, SaysThatThereAreNoBoxes) {
  for (const int classes : {0, 3}) {
    const Figure figure = DrawLabels(Split(), NumberedNames(classes));
    ExpectTidy(figure);
    EXPECT_TRUE(HasText(figure, "no boxes"));
  }
}

TEST(LabelChart, TakesLabelsThatAreNone) {
  Split split = SplitOf(3, 2);
  split.samples[0].labels[0] = {-1, std::nanf(""), 7, -3, 1e9f};
  split.samples[1].labels[0] = {99, 0, 0, 0, 0};
  ExpectTidy(DrawLabels(split, NumberedNames(2)));
}

}  // namespace
}  // namespace yoke::engine
