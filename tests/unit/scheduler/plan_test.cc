#include "server/scheduler/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "absl/strings/str_cat.h"

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
WaitingJob Bound(const std::string& id, int64_t sequence, std::vector<std::string> uuids, int priority = 0) {
  return {id, priority, sequence, std::move(uuids), 0, false};
}
WaitingJob Any(const std::string& id, int64_t sequence, int wanted, int priority = 0) { return {id, priority, sequence, {}, wanted, false}; }

TEST(Plan, NothingToDoIsAnEmptyPlan) {
  const Plan plan = MakePlan({{}, Gpus(2)});
  EXPECT_THAT(plan.starts, IsEmpty());
  EXPECT_THAT(plan.waits, IsEmpty());
}

TEST(Plan, JobsOnDisjointDevicesStartTogether) {
  const Plan plan = MakePlan({{Bound("a", 1, {"GPU-0", "GPU-2"}), Bound("b", 2, {"GPU-1", "GPU-3"})}, Gpus(4)});
  ASSERT_THAT(plan.starts, SizeIs(2));
  EXPECT_THAT(plan.starts[0].device_uuids, ElementsAre("GPU-0", "GPU-2"));
}

TEST(Plan, RankOrderIsKept) {
  EXPECT_THAT(MakePlan({{Bound("a", 1, {"GPU-2", "GPU-0"})}, Gpus(4)}).starts[0].device_uuids, ElementsAre("GPU-2", "GPU-0"));
}

TEST(Plan, AWaitingJobSaysForWhichDevicesAndWhoHoldsThem) {
  std::vector<DeviceView> gpus = Gpus(4);
  gpus[0].holder = gpus[2].holder = "jobs/abc (train)";
  const Plan plan = MakePlan({{Bound("x", 1, {"GPU-2", "GPU-0", "GPU-1"})}, gpus});
  ASSERT_THAT(plan.waits, SizeIs(1));
  EXPECT_EQ(plan.waits[0].sentence, "waits for GPU 0,2, held by jobs/abc (train)");
  EXPECT_EQ(plan.waits[0].reason, v1::JobReason::WAITING_FOR_DEVICES);
}

TEST(Plan, AllDevicesOrNone) {
  std::vector<DeviceView> gpus = Gpus(2);
  gpus[1].holder = "jobs/a (train)";
  EXPECT_THAT(MakePlan({{Bound("x", 1, {"GPU-0", "GPU-1"})}, gpus}).starts, IsEmpty());
}

TEST(Plan, WhoWaitsAheadKeepsItsDevicesFromThoseBehind) {
  std::vector<DeviceView> gpus = Gpus(3);
  gpus[1].holder = "jobs/a (train)";
  const Plan plan = MakePlan({{Bound("head", 1, {"GPU-0", "GPU-1"}), Bound("late", 2, {"GPU-0"}), Bound("other", 3, {"GPU-2"})}, gpus});
  ASSERT_THAT(plan.starts, SizeIs(1));
  EXPECT_EQ(plan.starts[0].job_id, "other");
  ASSERT_THAT(plan.waits, SizeIs(2));
  EXPECT_EQ(plan.waits[1].reason, v1::JobReason::WAITING_FOR_PRIORITY);
  EXPECT_EQ(plan.waits[1].sentence, "waits for GPU 0, behind jobs/head, which is ahead in the queue");
}

TEST(Plan, HigherPriorityGoesFirstThenOrderOfSubmission) {
  const Plan plan = MakePlan({{Bound("old", 1, {"GPU-0"}), Bound("urgent", 3, {"GPU-0"}, 5), Bound("older-urgent", 2, {"GPU-1"}, 5)}, Gpus(2)});
  ASSERT_THAT(plan.starts, SizeIs(2));
  EXPECT_EQ(plan.starts[0].job_id, "older-urgent");
  EXPECT_EQ(plan.starts[1].job_id, "urgent");
  EXPECT_EQ(plan.waits[0].sentence, "waits for GPU 0, behind jobs/urgent, which is ahead in the queue");
}

TEST(Plan, AnyTakesTheLowestIdleDevices) {
  std::vector<DeviceView> gpus = Gpus(4);
  gpus[0].holder = "jobs/a (train)";
  EXPECT_THAT(MakePlan({{Any("x", 1, 2)}, gpus}).starts[0].device_uuids, ElementsAre("GPU-1", "GPU-2"));
}

TEST(Plan, AnyThatWaitsIsNotStarvedBySmallerOnesBehindIt) {
  std::vector<DeviceView> gpus = Gpus(3);
  gpus[0].holder = "jobs/a (train)";
  const Plan plan = MakePlan({{Any("three", 1, 3), Any("one", 2, 1)}, gpus});
  EXPECT_THAT(plan.starts, IsEmpty());
  EXPECT_EQ(plan.waits[0].sentence, "waits for 3 idle GPU(s); 2 idle now, GPU 0, held by jobs/a (train)");
}

TEST(Plan, UnusableAndAbsentDevicesAreNamed) {
  std::vector<DeviceView> gpus = Gpus(2);
  gpus[1].unusable = "is quarantined: process 7 still uses it";
  const Plan plan = MakePlan({{Bound("x", 1, {"GPU-1"}), Bound("y", 2, {"GPU-9"})}, gpus});
  EXPECT_EQ(plan.waits[0].sentence, "waits for GPU 1, which is quarantined: process 7 still uses it");
  EXPECT_EQ(plan.waits[1].sentence, "waits for GPU-9, which this machine does not show now");
}

TEST(Plan, AnyOfOneKindTakesNoneOfTheOther) {
  std::vector<DeviceView> devices = Gpus(1);
  devices.push_back({"cpu:0", true, 0, "", ""});
  WaitingJob slot = Any("cpu", 1, 1);
  slot.cpu = true;
  const Plan plan = MakePlan({{slot, Any("gpu", 2, 1)}, devices});
  ASSERT_THAT(plan.starts, SizeIs(2));
  EXPECT_THAT(plan.starts[0].device_uuids, ElementsAre("cpu:0"));
  EXPECT_THAT(plan.starts[1].device_uuids, ElementsAre("GPU-0"));
}

// Random queues: no device twice, none that is taken, every job once, and the head starts as soon as it can.
TEST(Plan, KeepsItsPromisesOnRandomQueues) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    Snapshot snapshot{{}, Gpus(6)};
    for (DeviceView& device : snapshot.devices) {
      if (random() % 3 == 0) device.holder = "jobs/h (train)";
    }
    const int count = static_cast<int>(random() % 8);
    for (int i = 0; i < count; ++i) {
      WaitingJob job = Any(absl::StrCat("j", i), i, 1 + static_cast<int>(random() % 4), static_cast<int>(random() % 2));
      if (random() % 2 == 0) {
        for (int gpu = 0; gpu < 6; ++gpu) {
          if (random() % 3 == 0) job.bound.push_back(absl::StrCat("GPU-", gpu));
        }
      }
      snapshot.jobs.push_back(job);
    }
    const Plan plan = MakePlan(snapshot);
    EXPECT_EQ(plan.starts.size() + plan.waits.size(), snapshot.jobs.size());
    std::set<std::string> used;
    for (const Start& start : plan.starts) {
      EXPECT_FALSE(start.device_uuids.empty());
      for (const std::string& uuid : start.device_uuids) {
        EXPECT_TRUE(used.insert(uuid).second) << "two jobs on " << uuid;
        EXPECT_TRUE(snapshot.devices[uuid.back() - '0'].holder.empty());
      }
    }
    for (const Wait& wait : plan.waits) EXPECT_FALSE(wait.sentence.empty());
  }
}

}  // namespace
}  // namespace yoke::scheduler
