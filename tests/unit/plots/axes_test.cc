#include "server/engine/plots/axes.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace yoke::engine {
namespace {

std::vector<std::string> TextsOf(const std::vector<Tick>& ticks) {
  std::vector<std::string> texts;
  for (const Tick& tick : ticks) texts.push_back(tick.text);
  return texts;
}
using Texts = std::vector<std::string>;

TEST(RoundTicks, StandAtRoundNumbersWithEquallyManyDecimals) {
  EXPECT_EQ(TextsOf(RoundTicks({0, 1}, 6)), (Texts{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"}));
  EXPECT_EQ(TextsOf(RoundTicks({1.31, 1.62}, 7)),
            (Texts{"1.35", "1.40", "1.45", "1.50", "1.55", "1.60"}));
  EXPECT_EQ(TextsOf(RoundTicks({-0.05, 0.05}, 5)),
            (Texts{"-0.04", "-0.02", "0.00", "0.02", "0.04"}));
  EXPECT_EQ(TextsOf(RoundTicks({0, 0.1}, 5)), (Texts{"0.000", "0.025", "0.050", "0.075", "0.100"}));
  EXPECT_EQ(TextsOf(RoundTicks({0, 123456}, 6)), (Texts{"0", "25000", "50000", "75000", "100000"}));
}

TEST(RoundTicks, OfEpochsAreWhole) {
  EXPECT_EQ(TextsOf(RoundTicks({0.96, 2.04}, 7, true)), (Texts{"1", "2"}));
  EXPECT_EQ(TextsOf(RoundTicks({0.95, 1.05}, 7, true)), (Texts{"1"}));
  EXPECT_EQ(TextsOf(RoundTicks({1, 100}, 6, true)), (Texts{"20", "40", "60", "80", "100"}));
}

TEST(RoundTicks, TellNumbersApartFarFromOne) {
  for (const AxisRange range :
       {AxisRange{0, 3e-9}, AxisRange{0, 1e30}, AxisRange{1e9, 1e9 + 3000}}) {
    const std::vector<Tick> ticks = RoundTicks(range, 6);
    ASSERT_GE(ticks.size(), 2u);
    ASSERT_LE(ticks.size(), 6u);
    for (size_t i = 1; i < ticks.size(); ++i) EXPECT_NE(ticks[i].text, ticks[i - 1].text);
  }
}

TEST(RangeOf, LooksAtFiniteNumbersOnly) {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  const AxisRange range = RangeOf({nan, 2, inf, 4, -inf}, 0.5);
  EXPECT_EQ(range.low, 1);
  EXPECT_EQ(range.high, 5);
}

TEST(RangeOf, IsNeverEmpty) {
  for (const std::vector<double>& values : std::vector<std::vector<double>>{
           {}, {0}, {7, 7}, {std::nan("")}, {1e300, -1e300}, {1e-300}, {5, 5 + 1e-12}}) {
    const AxisRange range = RangeOf(values, 0.05);
    EXPECT_LT(range.low, range.high);
    EXPECT_TRUE(std::isfinite(range.high - range.low));
    EXPECT_LE(RoundTicks(range, 7).size(), 7u);
  }
}

TEST(FitTicks, LeaveRoomBetweenTheirTexts) {
  const Font font;
  const std::vector<Tick> ticks = FitTicks(font, {100000, 200000}, 300, 26, true, 8);
  ASSERT_GE(ticks.size(), 2u);
  EXPECT_LT(static_cast<double>(ticks.size()) * WidestTick(font, ticks, 26), 300);
}

}  // namespace
}  // namespace yoke::engine
