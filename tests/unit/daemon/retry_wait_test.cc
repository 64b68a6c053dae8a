#include "server/daemon/retry_wait.h"

#include <gtest/gtest.h>

#include "google/protobuf/util/time_util.h"

namespace yoke::daemon {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

jobs::JobRecord Waiting(const std::string& id, absl::Duration in) {
  jobs::JobRecord job;
  job.id = id;
  job.public_job.set_state(v1::Job::QUEUED);
  *job.public_job.mutable_next_attempt_time() =
      google::protobuf::util::TimeUtil::MillisecondsToTimestamp(absl::ToUnixMillis(kNow + in));
  return job;
}

std::vector<std::string> Ids(const std::vector<jobs::JobRecord>& jobs) {
  std::vector<std::string> ids;
  for (const jobs::JobRecord& job : jobs) ids.push_back(job.id);
  return ids;
}

TEST(RetryWait, HoldsAJobBackUntilItsTimeAndLetsOthersPass) {
  RetryWait wait;
  jobs::JobRecord other;
  other.id = "other";
  other.public_job.set_state(v1::Job::QUEUED);
  std::vector<jobs::JobRecord> open = {Waiting("a", absl::Seconds(4)), other,
                                       Waiting("b", absl::Seconds(2))};
  std::vector<jobs::JobRecord> first = open;
  wait.HoldBack(kNow, 1000, first);
  EXPECT_EQ(Ids(first), (std::vector<std::string>{"other"}));
  EXPECT_EQ(wait.Left(1000), absl::Seconds(2));
  std::vector<jobs::JobRecord> second = open;
  wait.HoldBack(kNow, 3000, second);
  EXPECT_EQ(Ids(second), (std::vector<std::string>{"other", "b"}));
  EXPECT_EQ(wait.Left(3000), absl::Seconds(2));
  std::vector<jobs::JobRecord> third = open;
  wait.HoldBack(kNow, 5000, third);
  EXPECT_EQ(third.size(), 3u);
  EXPECT_FALSE(wait.Left(5000).has_value());
}

TEST(RetryWait, AClockThatJumpsNeitherHurriesNorHoldsForEver) {
  RetryWait wait;
  std::vector<jobs::JobRecord> open = {
      Waiting("a", absl::Hours(90'000))};  // set before the clock went back
  wait.HoldBack(kNow, 0, open);
  EXPECT_TRUE(open.empty());
  EXPECT_EQ(wait.Left(0), absl::Minutes(1));
  open = {Waiting("a", absl::Hours(90'000))};
  wait.HoldBack(kNow - absl::Hours(1), 60'000, open);
  EXPECT_EQ(open.size(), 1u);
  open = {Waiting("b", absl::Seconds(10))};
  wait.HoldBack(kNow, 100'000, open);
  open = {Waiting("b", absl::Seconds(10))};
  wait.HoldBack(kNow + absl::Hours(1), 100'001, open);
  EXPECT_TRUE(open.empty());
}

TEST(RetryWait, ANewWaitOfTheSameJobIsMeasuredAnew) {
  RetryWait wait;
  std::vector<jobs::JobRecord> open = {Waiting("a", absl::Seconds(1))};
  wait.HoldBack(kNow, 0, open);
  open = {Waiting("a", absl::Seconds(3))};
  wait.HoldBack(kNow + absl::Seconds(1), 1000, open);
  EXPECT_TRUE(open.empty());
  EXPECT_EQ(wait.Left(1000), absl::Seconds(2));
}

}  // namespace
}  // namespace yoke::daemon
