// Places for streams and waits, and the bell they sleep on.
#include "server/service/shared.h"

#include <list>
#include <thread>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "server/service/errors.h"

namespace yoke::service {
namespace {

TEST(Followers, HaveSoManyPlacesAndGiveThemBack) {
  Shared shared({});
  std::list<Follower> followers;
  for (int i = 0; i < kFollowersMax; ++i) EXPECT_TRUE(followers.emplace_back(shared).status().ok());
  {
    const Follower refused(shared);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(ReasonOf(refused.status()), "TOO_MANY_STREAMS");
  }
  followers.pop_front();
  EXPECT_TRUE(Follower(shared).status().ok());
  shared.BeginShutdown();
  EXPECT_EQ(ReasonOf(Follower(shared).status()), "SHUTTING_DOWN");
}

TEST(Bell, ARingBeforeTheWaitIsHeardAndOneDuringItWakes) {
  Bell bell;
  const int64_t heard = bell.rings();
  bell.Ring();
  const absl::Time start = absl::Now();
  bell.Wait(heard, absl::Seconds(20));
  const int64_t heard_again = bell.rings();
  std::thread ringer([&] {
    absl::SleepFor(absl::Milliseconds(20));
    bell.Ring();
  });
  bell.Wait(heard_again, absl::Seconds(20));
  ringer.join();
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  bell.Wait(bell.rings(), absl::Milliseconds(10));
}

}  // namespace
}  // namespace yoke::service
