#include "server/daemon/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/protobuf/util/time_util.h"
#include "server/daemon/scheduling_desk.h"

namespace yoke::daemon {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

const absl::Time kWall = absl::FromUnixSeconds(1'800'000'000);

google::protobuf::Timestamp At(double seconds) {
  return google::protobuf::util::TimeUtil::MillisecondsToTimestamp(
      absl::ToUnixMillis(kWall + absl::Seconds(seconds)));
}
jobs::JobRecord Job(const std::string& id, v1::Job::State state) {
  jobs::JobRecord record;
  record.id = id;
  record.public_job.set_owner("ann");
  record.public_job.set_state(state);
  return record;
}
jobs::JobRecord WithAttempt(jobs::JobRecord job, double start, double end = 0) {
  v1::Attempt& attempt = *job.public_job.add_attempts();
  attempt.set_run_id(job.id + "-run");
  attempt.add_device_uuids("GPU-0");
  attempt.add_device_uuids("GPU-1");
  *attempt.mutable_start_time() = At(start);
  if (end > start) *attempt.mutable_end_time() = At(end);
  return job;
}
v1::Job::State Nothing(const std::string&) { return v1::Job::STATE_UNSPECIFIED; }

TEST(Ledger, AnAttemptKeepsItsBeginningWhenTheWallClockJumps) {
  Ledger ledger({});
  scheduler::Snapshot snapshot, later;
  const std::vector<jobs::JobRecord> open = {WithAttempt(Job("aaaa", v1::Job::RUNNING), -100)};
  ledger.Complete(open, {5000, kWall}, Nothing, snapshot);
  EXPECT_DOUBLE_EQ(snapshot.running[0].started, 4900);
  ledger.Complete(open, {5010, kWall + absl::Hours(9)}, Nothing, later);
  EXPECT_DOUBLE_EQ(later.running[0].started, 4900);
}

TEST(Ledger, AnAttemptThatSeemsToBeginInTheFutureBeginsNow) {
  Ledger ledger({});
  scheduler::Snapshot snapshot;
  ledger.Complete({WithAttempt(Job("aaaa", v1::Job::RUNNING), 500)}, {5000, kWall}, Nothing,
                  snapshot);
  EXPECT_DOUBLE_EQ(snapshot.running[0].started, 5000);
}

TEST(Ledger, WhatEndedCountsAsUseAlsoAfterARestart) {
  scheduler::Policy policy;
  policy.half_life = 100;
  Ledger ledger(policy), restarted(policy);
  scheduler::Snapshot first, second, third;
  ledger.Complete({WithAttempt(Job("aaaa", v1::Job::RUNNING), 0)}, {1000, kWall}, Nothing, first);
  EXPECT_THAT(first.uses, SizeIs(0));
  ledger.Complete({}, {1050, kWall + absl::Seconds(50)}, Nothing, second);
  ASSERT_THAT(second.uses, SizeIs(1));
  EXPECT_EQ(second.uses[0].owner, "ann");
  EXPECT_DOUBLE_EQ(second.uses[0].device_seconds, 100);
  EXPECT_DOUBLE_EQ(second.uses[0].at, 1050);
  restarted.Seed({WithAttempt(Job("aaaa", v1::Job::SUCCEEDED), 0, 50),
                  WithAttempt(Job("bbbb", v1::Job::FAILED), 100, 150)},
                 {1150, kWall + absl::Seconds(150)});
  restarted.Complete({}, {1150, kWall + absl::Seconds(150)}, Nothing, third);
  EXPECT_DOUBLE_EQ(third.uses[0].device_seconds, 150);  // the first one is a half-life old
}

TEST(Ledger, DependenciesAreLookedUpOnceTheyHaveEndedAndNotBefore) {
  Ledger ledger({});
  jobs::JobRecord waiting = Job("cccc", v1::Job::QUEUED);
  for (const char* id : {"aaaa", "bbbb"})
    waiting.public_job.mutable_scheduling()->add_dependencies()->set_job(std::string("jobs/") + id);
  std::vector<std::string> asked;
  const auto lookup = [&](const std::string& id) {
    asked.push_back(id);
    return v1::Job::SUCCEEDED;
  };
  for (int i = 0; i < 3; ++i) {
    scheduler::Snapshot snapshot;
    snapshot.jobs.resize(1);
    AddScheduling(waiting.public_job, snapshot.jobs[0]);
    ledger.Complete({Job("aaaa", v1::Job::HELD), waiting}, {1000, kWall}, lookup, snapshot);
    EXPECT_EQ(snapshot.jobs[0].dependencies[0].state, v1::Job::HELD);
    EXPECT_EQ(snapshot.jobs[0].dependencies[1].state, v1::Job::SUCCEEDED);
  }
  EXPECT_THAT(asked, ElementsAre("bbbb"));
}

TEST(Queues, AreNamesWithOrWithoutALimit) {
  DeskOptions options;
  ASSERT_TRUE(ParseQueues(" night=2, day", options).ok());
  EXPECT_THAT(options.queues, ElementsAre("day", "default", "night"));
  EXPECT_EQ(options.policy.queue_running_max.at("night"), 2);
  EXPECT_FALSE(options.policy.queue_running_max.contains("day"));
  for (const char* bad : {"night=0", "night=x", "=2", "a b", "night=2=3", "night;day"}) {
    EXPECT_EQ(ParseQueues(bad, options).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace yoke::daemon
