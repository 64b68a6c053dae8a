// From moments to lengths of a log.
#include "common/ipc/log_times.h"

#include "gtest/gtest.h"

namespace yoke::ipc {
namespace {

TEST(LogTimes, FindTheLengthAtAMomentAndTheNextOne) {
  std::string times;
  for (const auto& [bytes, ms] : {std::pair{0, 1000}, {100, 2000}, {250, 3000}, {900, 7000}})
    times += LogTimesLine(bytes, ms);
  EXPECT_EQ(times.size(), 4 * LogTimesLine(1, 2).size());
  EXPECT_EQ(LengthAt(times, 999), 0);
  EXPECT_EQ(LengthAt(times, 2000), 100);
  EXPECT_EQ(LengthAt(times, 6999), 250);
  EXPECT_EQ(LengthAt(times, 100000), 900);
  EXPECT_EQ(LengthAfter(times, 0), 0);
  EXPECT_EQ(LengthAfter(times, 2001), 250);
  EXPECT_EQ(LengthAfter(times, 7000), 900);
  EXPECT_EQ(LengthAfter(times, 7001), -1);
}

TEST(LogTimes, NothingOrHalfALineIsNoNote) {
  EXPECT_EQ(LengthAt("", 5), 0);
  EXPECT_EQ(LengthAfter("", 5), -1);
  const std::string times = LogTimesLine(7, 1) + LogTimesLine(9, 2).substr(0, 20);
  EXPECT_EQ(LengthAt(times, 5), 7);
  EXPECT_EQ(LengthAfter(times, 2), -1);
  EXPECT_EQ(LogTimesLine(123456789012345, 1790000000000).size(), LogTimesLine(0, 0).size());
}

}  // namespace
}  // namespace yoke::ipc
