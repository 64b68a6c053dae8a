#include "server/engine/data/epoch_order.h"

#include <cmath>
#include <map>
#include <set>

#include "gtest/gtest.h"

namespace yoke::engine {
namespace {

TEST(EpochOrder, HoldsEachImageOnceAndRepeatsBehindItsEnd) {
  const EpochOrder order(50, 1, 2);
  std::set<int64_t> seen;
  for (int64_t i = 0; i < 50; ++i) seen.insert(order.At(i));
  EXPECT_EQ(seen.size(), 50u);
  EXPECT_EQ(order.At(53), order.At(3));
}

TEST(EpochOrder, WindowIsTheReferences) {
  EXPECT_EQ(RecentWindow(5000, 16), 127);  // 8 batches
  EXPECT_EQ(RecentWindow(5000, 400), 999);
  EXPECT_EQ(RecentWindow(100, 16), 99);  // all but one
  EXPECT_EQ(RecentWindow(1, 16), 1);     // itself
}

// Each of the window's images is drawn about equally often, and no other.
void ExpectWindow(const EpochOrder& order, int64_t position, int64_t window,
                  const std::multiset<int64_t>& expected) {
  Random random(9, 9, static_cast<uint64_t>(position));
  std::map<int64_t, int> drawn;
  constexpr int kDraws = 20'000;
  for (int i = 0; i < kDraws; ++i) ++drawn[order.DrawRecent(position, window, random)];
  std::set<int64_t> distinct(expected.begin(), expected.end());
  EXPECT_EQ(drawn.size(), distinct.size()) << position;
  for (const int64_t image : distinct) {
    const double share =
        static_cast<double>(expected.count(image)) / static_cast<double>(expected.size());
    // Six standard errors of a binomial share.
    EXPECT_NEAR(drawn[image] / double{kDraws}, share,
                6 * std::sqrt(share * (1 - share) / kDraws) + 1e-9)
        << position;
  }
}

TEST(EpochOrder, RecentImagesReachIntoTheEpochBefore) {
  constexpr int64_t kWindow = 7, kCount = 30;
  const EpochOrder before(kCount, 1, 4), order(kCount, 1, 5);
  for (int64_t position = 0; position < kCount; ++position) {
    std::multiset<int64_t> expected;
    for (int64_t back = 0; back < kWindow; ++back) {
      expected.insert(back <= position ? order.At(position - back)
                                       : before.At(kCount + position - back));
    }
    ExpectWindow(order, position, kWindow, expected);
  }
}

TEST(EpochOrder, FirstEpochHasNoneBefore) {
  const EpochOrder order(30, 1, 0);
  ExpectWindow(order, 0, 7, {order.At(0)});
  ExpectWindow(order, 2, 7, {order.At(0), order.At(1), order.At(2)});
  ExpectWindow(order, 9, 2, {order.At(8), order.At(9)});
}

TEST(EpochOrder, FixedOrderStays) {
  const EpochOrder order(std::vector<int64_t>{2, 0, 1});
  EXPECT_EQ(order.count(), 3);
  EXPECT_EQ(order.At(0), 2);
  EXPECT_EQ(order.At(4), 0);
}

}  // namespace
}  // namespace yoke::engine
