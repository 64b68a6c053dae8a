#include "server/engine/plots/confusion_chart.h"

#include "gtest/gtest.h"
#include "tests/unit/plots/layout_checks.h"

namespace yoke::engine {
namespace {

ConfusionMatrix MatrixOf(int classes, int64_t diagonal, int64_t others) {
  ConfusionMatrix matrix;
  matrix.classes = classes;
  const int side = classes + 1;
  matrix.counts.assign(static_cast<size_t>(side) * side, others);
  for (int i = 0; i < side; ++i) matrix.counts[static_cast<size_t>(i) * side + i] = diagonal;
  return matrix;
}

TEST(ConfusionChart, WritesCountsOrSharesIntoFewCells) {
  ConfusionMatrix matrix = MatrixOf(2, 0, 0);
  matrix.counts = {30, 0, 4, 10, 5, 0, 0, 5, 0};  // rows: predicted a, b, background
  const Figure counts = DrawConfusion(matrix, {"a", "b"}, false);
  ExpectTidy(counts);
  for (const char* text : {"30", "4", "5", "10", "a", "b", "background", "True", "Predicted"}) {
    EXPECT_TRUE(HasText(counts, text)) << text;
  }
  const Figure shares = DrawConfusion(matrix, {"a", "b"}, true);
  ExpectTidy(shares);
  for (const char* text : {"0.75", "0.25", "0.50", "1.00"})
    EXPECT_TRUE(HasText(shares, text)) << text;
  EXPECT_FALSE(HasText(shares, "0.00"));
}

TEST(ConfusionChart, DarkensWithTheCount) {
  const Figure figure = DrawConfusion(MatrixOf(40, 100, 10), NumberedNames(40), false);
  ExpectTidy(figure);
  const cv::Rect plot = figure.layout.panels.at(0);
  const auto brightness = [&](int row, int column) {
    const cv::Vec3b pixel =
        figure.bgr.at<cv::Vec3b>(plot.y + static_cast<int>((row + 0.5) * plot.height / 41),
                                 plot.x + static_cast<int>((column + 0.5) * plot.width / 41));
    return pixel[0] + pixel[1] + pixel[2];
  };
  EXPECT_LT(brightness(7, 7), brightness(7, 8));
  EXPECT_LT(brightness(7, 8), 3 * 255);
}

TEST(ConfusionChart, TakesAnySizeAndAnyName) {
  for (const int classes : {1, 2, 29, 30, 80, 99, 100, 1000}) {
    for (const bool normalized : {false, true}) {
      SCOPED_TRACE(testing::Message() << classes << " classes");
      ExpectTidy(DrawConfusion(MatrixOf(classes, 1234567, 3), NumberedNames(classes), normalized));
    }
  }
  const auto odd = static_cast<int>(OddNames().size());
  ExpectTidy(DrawConfusion(MatrixOf(odd, 5, 1), OddNames(), false));
  ExpectTidy(DrawConfusion(MatrixOf(5, 5, 1), {}, false));  // no names
}

TEST(ConfusionChart, HasMoreClassesThanPixels) {
  const Figure figure = DrawConfusion(MatrixOf(2500, 9, 0), {}, true);
  // Every pixel of the diagonal shows the largest of its cells: full.
  const cv::Rect plot = figure.layout.panels.at(0);
  for (int i = 1; i < plot.width; i += 97) {
    EXPECT_LT(figure.bgr.at<cv::Vec3b>(plot.y + i, plot.x + i)[2], 128) << i;
  }
}

TEST(ConfusionChart, TakesAnEmptyAndACutMatrix) {
  ExpectTidy(DrawConfusion(ConfusionMatrix(), {}, true));
  const auto frames_only = DrawConfusion(MatrixOf(3, 0, 0), NumberedNames(3), true);
  EXPECT_FALSE(HasText(frames_only, "0.00"));
  ConfusionMatrix cut = MatrixOf(4, 1, 1);
  cut.counts.resize(7);
  ExpectTidy(DrawConfusion(cut, NumberedNames(4), false));
}

}  // namespace
}  // namespace yoke::engine
