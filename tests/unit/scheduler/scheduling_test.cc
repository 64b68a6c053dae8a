// The parts of a plan beyond order and devices: time limits, backfill, dependencies, limits,
// shares, preemption.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <random>

#include "absl/strings/str_cat.h"
#include "server/scheduler/fair_order.h"
#include "server/scheduler/plan.h"

namespace yoke::scheduler {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<DeviceView> Gpus(int count) {
  std::vector<DeviceView> devices;
  for (int i = 0; i < count; ++i) devices.push_back({absl::StrCat("GPU-", i), false, i, "", ""});
  return devices;
}
WaitingJob Bound(const std::string& id, int64_t sequence, std::vector<std::string> uuids,
                 int priority = 0) {
  return {id, priority, sequence, std::move(uuids), 0, false};
}
WaitingJob Any(const std::string& id, int64_t sequence, int wanted, int priority = 0) {
  return {id, priority, sequence, {}, wanted, false};
}

WaitingJob Limited(WaitingJob job, Seconds limit) {
  job.time_limit = limit;
  return job;
}
WaitingJob OfOwner(WaitingJob job, const std::string& owner) {
  job.owner = owner;
  return job;
}
// A snapshot at 1000 s in which these run, each since 0 s unless it says otherwise.
Snapshot At1000(std::vector<WaitingJob> jobs, int gpus, std::vector<RunningJob> running) {
  Snapshot snapshot{std::move(jobs), Gpus(gpus)};
  snapshot.now = 1000;
  snapshot.running = std::move(running);
  for (const RunningJob& job : snapshot.running) {
    for (DeviceView& device : snapshot.devices) {
      for (const std::string& uuid : job.devices) {
        if (device.uuid == uuid) device.holder = absl::StrCat("jobs/", job.id, " (train)");
      }
    }
  }
  return snapshot;
}
RunningJob Running(const std::string& id, std::vector<std::string> devices, Seconds limit = 0,
                   int priority = 0) {
  RunningJob job;
  job.id = id;
  job.devices = std::move(devices);
  job.time_limit = limit;
  job.priority = priority;
  return job;
}
RunningJob Preemptible(const std::string& id, std::vector<std::string> devices, Seconds started = 0,
                       int priority = 0) {
  RunningJob job = Running(id, std::move(devices), 0, priority);
  job.started = started;
  job.preemptible = true;
  return job;
}
std::vector<std::string> Started(const Plan& plan) {
  std::vector<std::string> ids;
  for (const Start& start : plan.starts) ids.push_back(start.job_id);
  return ids;
}
std::vector<std::string> Waiting(const Plan& plan) {
  std::vector<std::string> ids;
  for (const Wait& wait : plan.waits) ids.push_back(wait.job_id);
  return ids;
}

TEST(Backfill, AJobThatEndsBeforeTheHeadCanStartPassesAndALongerOneDoesNot) {
  const RunningJob running = Running("r", {"GPU-0"}, 1100);  // 100 s are left
  for (const auto& [limit, passes] :
       std::vector<std::pair<Seconds, bool>>{{0, false}, {100, true}, {101, false}}) {
    const Plan plan = MakePlan(
        At1000({Bound("head", 1, {"GPU-0", "GPU-1"}), Limited(Bound("late", 2, {"GPU-1"}), limit)},
               2, {running}));
    EXPECT_EQ(Started(plan) == std::vector<std::string>{"late"}, passes) << limit;
    EXPECT_EQ(*plan.waits[0].earliest_start, 1100);
  }
}

TEST(Backfill, NobodyPassesWhereNobodyKnowsWhenTheHeadStarts) {
  const Plan plan = MakePlan(
      At1000({Bound("head", 1, {"GPU-0", "GPU-1"}), Limited(Bound("short", 2, {"GPU-1"}), 1)}, 2,
             {Running("r", {"GPU-0"})}));
  EXPECT_THAT(plan.starts, IsEmpty());
  EXPECT_FALSE(plan.waits[0].earliest_start.has_value());
  EXPECT_EQ(plan.waits[0].earliest_why, "jobs/r (train), which holds GPU 0, has no time limit");
}

TEST(Backfill, AWaitingJobBehindTheHeadDoesNotCloseTheGap) {
  const Plan plan =
      MakePlan(At1000({Bound("head", 1, {"GPU-0", "GPU-1"}), Bound("long", 2, {"GPU-1"}),
                       Limited(Bound("short", 3, {"GPU-1"}), 50)},
                      2, {Running("r", {"GPU-0"}, 1100)}));
  EXPECT_THAT(Started(plan), ElementsAre("short"));
}

TEST(Backfill, AnyJobsUseTheGapsToo) {
  const Plan plan = MakePlan(At1000({Any("head", 1, 2), Limited(Any("short", 2, 1), 50)}, 2,
                                    {Running("r", {"GPU-0"}, 1100)}));
  EXPECT_THAT(Started(plan), ElementsAre("short"));
}

TEST(EarliestStart, IsAddedUpFromTheLimitsOfAllThatIsAhead) {
  const Plan plan =
      MakePlan(At1000({Limited(Bound("a", 1, {"GPU-0"}), 50), Limited(Bound("b", 2, {"GPU-0"}), 50),
                       Bound("c", 3, {"GPU-0"}), Bound("d", 4, {"GPU-0"})},
                      1, {Running("r", {"GPU-0"}, 1100)}));
  EXPECT_EQ(*plan.waits[0].earliest_start, 1100);
  EXPECT_EQ(*plan.waits[1].earliest_start, 1150);
  EXPECT_EQ(*plan.waits[2].earliest_start, 1200);
  EXPECT_FALSE(plan.waits[3].earliest_start.has_value());
  EXPECT_EQ(plan.waits[3].earliest_why, "jobs/c, which is ahead, has no time limit");
  EXPECT_EQ(plan.waits[3].place, 4);
}

TEST(TimeLimit, AsksBeforeTheEndAndNamesTheMomentUntilThen) {
  RunningJob job = Running("r", {"GPU-0"}, 1100);
  job.signal_before = 60;
  Plan plan = MakePlan(At1000({}, 1, {job}));
  EXPECT_THAT(plan.stops, IsEmpty());
  EXPECT_EQ(plan.wake_at, 1040);
  job.signal_before = 150;
  plan = MakePlan(At1000({}, 1, {job}));
  ASSERT_THAT(plan.stops, SizeIs(1));
  EXPECT_EQ(plan.stops[0].why, Stop::Why::kTimeLimit);
  EXPECT_EQ(plan.stops[0].grace, 100);
  job.time_limit = 500;  // long over
  EXPECT_EQ(MakePlan(At1000({}, 1, {job})).stops[0].grace, 0);
  job.stopping = true;
  EXPECT_THAT(MakePlan(At1000({}, 1, {job})).stops, IsEmpty());
}

TEST(Dependencies, WaitAreMetOrEndTheJob) {
  using v1::Job;
  using Dep = v1::Scheduling::Dependency;
  const std::vector<Job::State> states = {
      Job::QUEUED,    Job::HELD,   Job::STARTING,  Job::RUNNING,   Job::STOPPING,
      Job::SUCCEEDED, Job::FAILED, Job::CANCELLED, Job::TIMED_OUT, Job::STATE_UNSPECIFIED};
  for (const auto condition : {Dep::OK, Dep::NOT_OK, Dep::ANY}) {
    for (size_t i = 0; i < states.size(); ++i) {
      WaitingJob job = Any("x", 2, 1);
      job.dependencies = {{"first", condition, states[i]}};
      const Plan plan = MakePlan({{job}, Gpus(1)});
      const bool open = i<5, ok = i == 5, not_ok = i> 5 && i < 9;
      const bool met = condition == Dep::OK ? ok : condition == Dep::NOT_OK ? not_ok : !open;
      EXPECT_EQ(plan.starts.size(), met ? 1u : 0u) << condition << Job::State_Name(states[i]);
      EXPECT_EQ(plan.waits.size(), open ? 1u : 0u) << condition << Job::State_Name(states[i]);
      EXPECT_EQ(plan.ends.size(), !open && !met ? 1u : 0u)
          << condition << Job::State_Name(states[i]);
    }
  }
}

TEST(Dependencies, SayForWhomAndWhyNever) {
  WaitingJob job = Any("x", 2, 1);
  job.dependencies = {{"a", v1::Scheduling::Dependency::OK, v1::Job::RUNNING},
                      {"b", v1::Scheduling::Dependency::ANY, v1::Job::HELD}};
  Plan plan = MakePlan({{job}, Gpus(1)});
  EXPECT_EQ(plan.waits[0].sentence, "waits for jobs/a (RUNNING) to succeed, jobs/b (HELD) to end");
  EXPECT_EQ(plan.waits[0].reason, v1::JobReason::WAITING_FOR_DEPENDENCY);
  job.dependencies[0].state = v1::Job::TIMED_OUT;
  plan = MakePlan({{job}, Gpus(1)});
  EXPECT_EQ(plan.ends[0].sentence,
            "It was to start after jobs/a had succeeded, but that job ended TIMED_OUT.");
}

TEST(Dependencies, AJobThatWaitsForAnotherStandsInNobodysWay) {
  WaitingJob blocked = Bound("x", 1, {"GPU-0"}, 9);
  blocked.dependencies = {{"a", v1::Scheduling::Dependency::OK, v1::Job::RUNNING}};
  EXPECT_THAT(Started(MakePlan({{blocked, Bound("y", 2, {"GPU-0"})}, Gpus(1)})), ElementsAre("y"));
}

TEST(NotBefore, WaitsUntilThenAndLetsOthersPass) {
  WaitingJob job = Any("x", 1, 1);
  job.not_before = 1030;
  Plan plan = MakePlan(At1000({job, Any("y", 2, 1)}, 1, {}));
  EXPECT_THAT(Started(plan), ElementsAre("y"));
  EXPECT_EQ(plan.wake_at, 1030);
  EXPECT_EQ(plan.waits[0].reason, v1::JobReason::WAITING_FOR_RETRY);
  job.not_before = 1000;
  EXPECT_THAT(Started(MakePlan(At1000({job}, 1, {}))), ElementsAre("x"));
}

TEST(Limits, OfOwnersAndQueuesHoldForWhatRunsAndWhatStarts) {
  Snapshot snapshot = At1000({OfOwner(Any("a1", 1, 1), "ann"), OfOwner(Any("a2", 2, 1), "ann"),
                              OfOwner(Any("b1", 3, 1), "bob")},
                             4, {Running("r", {"GPU-0"})});
  snapshot.running[0].owner = "ann";
  snapshot.policy.owner_running_max = 2;
  Plan plan = MakePlan(snapshot);
  EXPECT_THAT(Started(plan), ElementsAre("b1", "a1"));  // ann has used more
  EXPECT_EQ(plan.waits[0].reason, v1::JobReason::WAITING_FOR_LIMIT);
  EXPECT_EQ(plan.waits[0].sentence,
            "waits until fewer than 2 jobs of ann run: an owner may have no more at once");
  snapshot.policy.owner_running_max = 0;
  snapshot.policy.queue_running_max["night"] = 1;
  for (WaitingJob& job : snapshot.jobs) job.queue = "night";
  EXPECT_THAT(Started(MakePlan(snapshot)), SizeIs(1));
}

TEST(FairShare, OwnersTakeTurnsAndWhoUsedLessComesFirst) {
  std::vector<WaitingJob> jobs;
  for (int i = 0; i < 4; ++i)
    jobs.push_back(OfOwner(Bound(absl::StrCat("a", i), i, {"GPU-0"}), "ann"));
  for (int i = 0; i < 2; ++i)
    jobs.push_back(OfOwner(Bound(absl::StrCat("b", i), 10 + i, {"GPU-0"}), "bob"));
  Snapshot snapshot = At1000(jobs, 1, {Running("r", {"GPU-0"})});
  snapshot.running[0].owner = "carl";
  EXPECT_THAT(Waiting(MakePlan(snapshot)), ElementsAre("a0", "b0", "a1", "b1", "a2", "a3"));
  snapshot.uses = {{"ann", 3000, 1000}};
  EXPECT_THAT(Waiting(MakePlan(snapshot)), ElementsAre("b0", "a0", "b1", "a1", "a2", "a3"));
  snapshot.jobs[3].priority = 1;  // priority comes before any share
  EXPECT_EQ(Waiting(MakePlan(snapshot))[0], "a3");
}

TEST(FairShare, WhatWasUsedCountsHalfAfterTheHalfLife) {
  Snapshot snapshot = At1000({}, 1, {});
  snapshot.policy.half_life = 100;
  snapshot.uses = {{"ann", 800, 700}, {"ann", 10, 1000}};
  EXPECT_DOUBLE_EQ(UseByOwner(snapshot).at("ann"), 110);
  snapshot.running = {Running("r", {"GPU-0", "GPU-1"})};
  snapshot.running[0].owner = "ann";
  EXPECT_DOUBLE_EQ(UseByOwner(snapshot).at("ann"), 2110);
}

TEST(Preemption, StopsTheLowestThatRanLongEnoughAndNobodyElse) {
  const Plan plan = MakePlan(
      At1000({Any("urgent", 1, 1, 5)}, 4,
             {Running("fixed", {"GPU-0"}), Preemptible("young", {"GPU-1"}, 900),
              Preemptible("mid", {"GPU-2"}, 100, 2), Preemptible("low", {"GPU-3"}, 0, 1)}));
  ASSERT_THAT(plan.stops, SizeIs(1));
  EXPECT_EQ(plan.stops[0].job_id, "low");
  EXPECT_EQ(plan.stops[0].for_job, "urgent");
  EXPECT_EQ(plan.wake_at, 1500);  // when `young` is ripe
}

TEST(Preemption, OfEqualPriorityOrInVainNobodyIsStopped) {
  EXPECT_THAT(MakePlan(At1000({Any("same", 1, 1)}, 1, {Preemptible("low", {"GPU-0"})})).stops,
              IsEmpty());
  EXPECT_THAT(MakePlan(At1000({Any("two", 1, 2, 5)}, 2,
                              {Preemptible("low", {"GPU-0"}), Running("fixed", {"GPU-1"})}))
                  .stops,
              IsEmpty());
  EXPECT_THAT(MakePlan(At1000({Bound("two", 1, {"GPU-0", "GPU-1"}, 5)}, 2,
                              {Preemptible("low", {"GPU-0"}), Running("fixed", {"GPU-1"})}))
                  .stops,
              IsEmpty());
}

TEST(Preemption, WhatStopsAlreadyIsWaitedForInsteadOfStoppingMore) {
  RunningJob stopping = Preemptible("first", {"GPU-0"});
  stopping.stopping = true;
  const Plan plan =
      MakePlan(At1000({Any("urgent", 1, 1, 5)}, 2, {stopping, Preemptible("second", {"GPU-1"})}));
  EXPECT_THAT(plan.stops, IsEmpty());
  EXPECT_THAT(plan.waits[0].sentence,
              testing::HasSubstr("GPU 0, held by jobs/first (train), which was asked to stop"));
}

TEST(Preemption, OfSeveralDevicesOneMayBeStoppingAlready) {
  RunningJob stopping = Preemptible("first", {"GPU-0"});
  stopping.stopping = true;
  const Plan plan = MakePlan(At1000({Bound("urgent", 1, {"GPU-0", "GPU-1"}, 5)}, 2,
                                    {stopping, Preemptible("second", {"GPU-1"})}));
  ASSERT_THAT(plan.stops, SizeIs(1));
  EXPECT_EQ(plan.stops[0].job_id, "second");
}

TEST(TimeLimit, CutsShortTheGraceOfAnotherStop) {
  RunningJob job = Running("r", {"GPU-0"}, 1100);
  job.stopping = true;
  job.stop_grace = 3600;
  EXPECT_EQ(MakePlan(At1000({}, 1, {job})).wake_at, 1100);
  job.time_limit = 1000;
  const Plan plan = MakePlan(At1000({}, 1, {job}));
  ASSERT_THAT(plan.stops, SizeIs(1));
  EXPECT_EQ(plan.stops[0].grace, 0);
}

TEST(Topology, LinkedPairsGoTogetherAndOneAloneTakesNoneOfThem) {
  std::vector<DeviceView> gpus = Gpus(5);
  gpus[1].peers = {"GPU-3"};
  gpus[3].peers = {"GPU-1"};
  EXPECT_THAT(MakePlan({{Any("two", 1, 2)}, gpus}).starts[0].device_uuids,
              ElementsAre("GPU-1", "GPU-3"));
  gpus[0].holder = "jobs/h (train)";
  EXPECT_THAT(MakePlan({{Any("one", 1, 1)}, gpus}).starts[0].device_uuids, ElementsAre("GPU-2"));
}

TEST(Plan, AJobThatNeedsABrokenDeviceKeepsNothingFromOthers) {
  std::vector<DeviceView> gpus = Gpus(2);
  gpus[1].unusable = "is lost: XID 79";
  EXPECT_THAT(Started(MakePlan({{Bound("broken", 1, {"GPU-0", "GPU-1"}), Any("three", 2, 3),
                                 Bound("late", 3, {"GPU-0"})},
                                gpus})),
              ElementsAre("late"));
}

TEST(Plan, HundredThousandWaitingJobsArePlannedInTime) {
  Snapshot snapshot = At1000({}, 8, {Running("r", {"GPU-0", "GPU-1", "GPU-2"}, 2000)});
  std::mt19937 random(3);
  for (int i = 0; i < 100'000; ++i) {
    WaitingJob job = OfOwner(Any(absl::StrCat("job", i), i, 1 + static_cast<int>(random() % 8),
                                 static_cast<int>(random() % 5)),
                             absl::StrCat("o", random() % 50));
    if (random() % 2 == 0) job.bound = {absl::StrCat("GPU-", random() % 8)};
    if (random() % 2 == 0) job.time_limit = 100 + random() % 5000;
    snapshot.jobs.push_back(std::move(job));
  }
  const auto began = std::chrono::steady_clock::now();
  const Plan plan = MakePlan(snapshot);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  EXPECT_EQ(plan.starts.size() + plan.waits.size(), 100'000u);
  RecordProperty("seconds", std::to_string(seconds));
  std::cout << "100,000 jobs planned in " << seconds << " s\n";
  EXPECT_LT(seconds, 5);
}

}  // namespace
}  // namespace yoke::scheduler
