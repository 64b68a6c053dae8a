#include "common/os/clock.h"

#include <ctime>

#include "gtest/gtest.h"

namespace yoke::os {
namespace {

TEST(Clock, WritesRfc3339) {
  EXPECT_EQ(Rfc3339(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(Rfc3339(1714558830.25), "2024-05-01T10:20:30.250Z");
  EXPECT_EQ(Rfc3339(-0.5), "1969-12-31T23:59:59.500Z");
}

TEST(Clock, AgreesWithTheSystem) {
  EXPECT_NEAR(EpochSeconds(), static_cast<double>(std::time(nullptr)), 2);
  const int64_t before = BootMilliseconds();
  EXPECT_GE(BootMilliseconds(), before);
}

}  // namespace
}  // namespace yoke::os
