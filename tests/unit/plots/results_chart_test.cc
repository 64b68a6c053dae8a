#include "server/engine/plots/results_chart.h"

#include <cmath>
#include <fstream>

#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/plots/layout_checks.h"

namespace yoke::engine {
namespace {

constexpr const char* kColumns[] = {"epoch",
                                    "time",
                                    "train/box_loss",
                                    "train/cls_loss",
                                    "train/dfl_loss",
                                    "metrics/precision(B)",
                                    "metrics/recall(B)",
                                    "metrics/mAP50(B)",
                                    "metrics/mAP50-95(B)",
                                    "val/box_loss",
                                    "val/cls_loss",
                                    "val/dfl_loss"};

ResultsTable TableOf(int epochs, double scale = 1) {
  ResultsTable table;
  for (const char* column : kColumns) {
    table.columns.push_back(column);
    std::vector<double>& values = table.values.emplace_back();
    for (int i = 0; i < epochs; ++i)
      values.push_back(table.columns.size() == 1 ? i + 1 : scale / (i + 1));
  }
  return table;
}

TEST(ResultsChart, HasTenPanelsWithAPlainAndASmoothLineEach) {
  const Figure figure = DrawResults(TableOf(30));
  ExpectTidy(figure);
  ASSERT_EQ(figure.layout.panels.size(), 10u);
  // Two rows of five, in line.
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(figure.layout.panels[i].y, figure.layout.panels[i / 5 * 5].y);
    EXPECT_EQ(figure.layout.panels[i].x, figure.layout.panels[i % 5].x);
  }
  ASSERT_EQ(figure.layout.lines.size(), 20u);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(figure.layout.lines[i].points, 30u);
    EXPECT_EQ(figure.layout.lines[i].colour, i % 2 == 0 ? kBlue : kOrange);
  }
  for (size_t i = 2; i < std::size(kColumns); ++i)
    EXPECT_TRUE(HasText(figure, kColumns[i])) << kColumns[i];
}

TEST(ResultsChart, TakesAnyNumbers) {
  const double nan = std::nan("");
  for (const double scale : {0.0, 1e-12, 1e12, -1e300, nan}) {
    for (const int epochs : {1, 2, 1000}) {
      SCOPED_TRACE(testing::Message() << scale << " x " << epochs);
      ExpectTidy(DrawResults(TableOf(epochs, scale)));
    }
  }
  ResultsTable holes = TableOf(9);
  for (std::vector<double>& values : holes.values)
    values[4] = &values == &holes.values[0] ? 5 : nan;
  const Figure figure = DrawResults(holes);
  ExpectTidy(figure);
  EXPECT_EQ(figure.layout.lines[0].points, 8u);
}

TEST(ResultsChart, SaysThatThereIsNothing) {
  const Figure none = DrawResults(TableOf(0));
  ExpectTidy(none);
  EXPECT_TRUE(HasText(none, "no epochs"));
  EXPECT_TRUE(none.layout.lines.empty());
  ResultsTable other;
  other.columns = {"epoch", "loss"};
  other.values = {{1, 2}, {3, 4}};
  EXPECT_TRUE(HasText(DrawResults(other), "no values"));
  ExpectTidy(DrawResults(ResultsTable()));
}

TEST(Smoothed, KeepsALevelAndSpreadsAStep) {
  for (const double value : Smoothed(std::vector<double>(40, 3.5))) EXPECT_NEAR(value, 3.5, 1e-12);
  std::vector<double> step(41, 0.0);
  std::fill(step.begin() + 21, step.end(), 1.0);
  const std::vector<double> smooth = Smoothed(step);
  EXPECT_NEAR(smooth[0], 0, 1e-9);
  EXPECT_NEAR(smooth[40], 1, 1e-9);
  EXPECT_NEAR((smooth[20] + smooth[21]) / 2, 0.5, 1e-12);
  // One deviation of the Gaussian after the step: its integral up to 3.5 of 3.
  EXPECT_NEAR(smooth[24], 0.5 * (1 + std::erf(3.5 / 3 / std::sqrt(2))),
              0.002);  // a sum for an integral
}

TEST(ReadResults, TakesPaddedCellsAndHoles) {
  TempFolder folder;
  const std::string path = folder.path() + "/results.csv";
  std::ofstream(path) << "   epoch,   train/box_loss\n   1,  0.5\n2,nan\n3\n4,x\n\n";
  const absl::StatusOr<ResultsTable> table = ReadResults(path);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->columns, (std::vector<std::string>{"epoch", "train/box_loss"}));
  EXPECT_EQ(table->Column("epoch"), (std::vector<double>{1, 2, 3, 4}));
  EXPECT_EQ(table->Column("train/box_loss")[0], 0.5);
  for (int i = 1; i < 4; ++i) EXPECT_TRUE(std::isnan(table->Column("train/box_loss")[i]));
  EXPECT_TRUE(table->Column("lr/pg0").empty());
  EXPECT_TRUE(absl::IsNotFound(ReadResults(folder.path() + "/none.csv").status()));
  std::ofstream(path, std::ios::trunc) << "\n";
  EXPECT_TRUE(absl::IsInvalidArgument(ReadResults(path).status()));
}

}  // namespace
}  // namespace yoke::engine
