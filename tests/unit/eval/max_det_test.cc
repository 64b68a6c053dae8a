#include "server/engine/eval/max_det.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yoke::engine {
namespace {

using ::testing::HasSubstr;

TEST(MaxDet, TheDefaultIsRaisedToTheMostObjectsAndAnotherValueStays) {
  std::string warning;
  EXPECT_EQ(MaxDetFor(300, 300, &warning), 300);
  EXPECT_EQ(MaxDetFor(100, 7, &warning), 100);
  EXPECT_EQ(warning, "");
  EXPECT_EQ(MaxDetFor(300, 412, &warning), 412);
  EXPECT_THAT(warning, HasSubstr("412 objects, more than max_det=300; raised to 412"));
  EXPECT_EQ(MaxDetFor(299, 412, &warning), 299);
  EXPECT_THAT(warning, HasSubstr("raise it"));
  EXPECT_EQ(MaxDetFor(300, 1'000'000, &warning), 30000);
}

TEST(MaxDet, CountsTheObjectsOfTheFullestImage) {
  Split split;
  EXPECT_EQ(MostObjects(split), 0);
  split.samples.resize(3);
  split.samples[1].labels.resize(5);
  split.samples[2].labels.resize(2);
  EXPECT_EQ(MostObjects(split), 5);
}

}  // namespace
}  // namespace yoke::engine
