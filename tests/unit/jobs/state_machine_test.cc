#include "server/jobs/state_machine.h"

#include <gtest/gtest.h>

#include <map>

namespace yoke::jobs {
namespace {

using v1::Job;
using K = JobEventKind;

// Every pair that is allowed; all others must be refused.
const std::map<std::pair<Job::State, K>, Job::State> kAllowed = {
    {{Job::QUEUED, K::kStart}, Job::STARTING},      {{Job::QUEUED, K::kStop}, Job::CANCELLED},      {{Job::QUEUED, K::kHold}, Job::HELD},
    {{Job::QUEUED, K::kFailed}, Job::FAILED},       {{Job::HELD, K::kRelease}, Job::QUEUED},        {{Job::HELD, K::kStop}, Job::CANCELLED},
    {{Job::STARTING, K::kRanksUp}, Job::RUNNING},   {{Job::STARTING, K::kStop}, Job::STOPPING},     {{Job::STARTING, K::kSucceeded}, Job::SUCCEEDED},
    {{Job::STARTING, K::kFailed}, Job::FAILED},     {{Job::STARTING, K::kRequeue}, Job::QUEUED},    {{Job::RUNNING, K::kStop}, Job::STOPPING},
    {{Job::RUNNING, K::kSucceeded}, Job::SUCCEEDED}, {{Job::RUNNING, K::kFailed}, Job::FAILED},     {{Job::RUNNING, K::kTimedOut}, Job::TIMED_OUT},
    {{Job::RUNNING, K::kRequeue}, Job::QUEUED},     {{Job::STOPPING, K::kCancelled}, Job::CANCELLED}, {{Job::STOPPING, K::kSucceeded}, Job::SUCCEEDED},
    {{Job::STOPPING, K::kFailed}, Job::FAILED},     {{Job::STOPPING, K::kTimedOut}, Job::TIMED_OUT},
    {{Job::STOPPING, K::kRequeue}, Job::QUEUED},
};

TEST(StateMachine, EveryPairOfStateAndEventIsAsTheTableSays) {
  for (int state = Job::State_MIN; state <= Job::State_MAX; ++state) {
    for (const K event : kAllJobEvents) {
      const auto from = static_cast<Job::State>(state);
      const auto next = Next(from, event);
      const auto allowed = kAllowed.find({from, event});
      if (allowed == kAllowed.end()) {
        EXPECT_EQ(next.status().code(), absl::StatusCode::kFailedPrecondition) << Job::State_Name(from) << " " << EventName(event);
      } else {
        ASSERT_TRUE(next.ok()) << next.status();
        EXPECT_EQ(*next, allowed->second) << Job::State_Name(from) << " " << EventName(event);
      }
    }
  }
}

TEST(StateMachine, NothingFollowsATerminalState) {
  for (int state = Job::State_MIN; state <= Job::State_MAX; ++state) {
    if (!IsTerminal(static_cast<Job::State>(state))) continue;
    for (const K event : kAllJobEvents) EXPECT_FALSE(Next(static_cast<Job::State>(state), event).ok());
  }
}

TEST(StateMachine, ARefusalNamesStateAndEvent) {
  EXPECT_EQ(Next(Job::SUCCEEDED, K::kStop).status().message(), "a job that is SUCCEEDED cannot take the event 'stop'");
}

}  // namespace
}  // namespace yoke::jobs
