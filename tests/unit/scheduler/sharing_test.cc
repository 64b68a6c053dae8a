// Devices that jobs share by the memory they say they take.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "server/scheduler/plan.h"

namespace yoke::scheduler {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kGiB = int64_t{1} << 30;

Snapshot SharedGpus(int count) {
  Snapshot snapshot;
  snapshot.now = 1000;
  for (int i = 0; i < count; ++i) {
    DeviceView device{absl::StrCat("GPU-", i), false, i, "", ""};
    device.memory_bytes = 24 * kGiB;
    snapshot.devices.push_back(device);
  }
  return snapshot;
}
WaitingJob Sharing(const std::string& id, int64_t sequence, int64_t share_gib,
                   std::vector<std::string> bound = {}) {
  WaitingJob job{id, 0, sequence, std::move(bound), 0, false};
  job.wanted = job.bound.empty() ? 1 : 0;
  job.share_bytes = share_gib * kGiB;
  return job;
}
void Occupy(Snapshot& snapshot, const std::string& id, int64_t share_gib,
         std::vector<std::string> devices, Seconds limit = 0) {
  RunningJob job;
  job.id = id;
  job.time_limit = limit;
  job.share_bytes = share_gib * kGiB;
  for (DeviceView& device : snapshot.devices) {
    for (const std::string& uuid : devices) {
      if (device.uuid == uuid)
        absl::StrAppend(&device.holder, device.holder.empty() ? "" : ", ", "jobs/", id, " (train)");
    }
  }
  job.devices = std::move(devices);
  snapshot.running.push_back(job);
}
std::string StartOf(const Plan& plan, const std::string& id) {
  for (const Start& start : plan.starts) {
    if (start.job_id == id) return start.device_uuids[0];
  }
  return "";
}

TEST(Sharing, JobsFillADeviceUpToItsMemoryAndLeaveOthersFree) {
  Snapshot snapshot = SharedGpus(2);
  for (int i = 0; i < 4; ++i) snapshot.jobs.push_back(Sharing(absl::StrCat("s", i), i, 8));
  const Plan plan = MakePlan(snapshot);
  EXPECT_EQ(StartOf(plan, "s0"), StartOf(plan, "s1"));
  EXPECT_EQ(StartOf(plan, "s0"), StartOf(plan, "s2"));
  EXPECT_NE(StartOf(plan, "s0"), StartOf(plan, "s3"));
}

TEST(Sharing, AJobOfItsOwnAndSharingOnesNeverMeet) {
  Snapshot snapshot = SharedGpus(1);
  Occupy(snapshot, "r", 8, {"GPU-0"});
  snapshot.jobs = {Sharing("own", 1, 0), Sharing("later", 2, 4)};
  Plan plan = MakePlan(snapshot);
  EXPECT_THAT(plan.starts,
              IsEmpty());  // and the one that waits for all of it is not starved by shares
  snapshot = SharedGpus(1);
  Occupy(snapshot, "r", 0, {"GPU-0"});
  snapshot.jobs = {Sharing("s", 1, 1)};
  plan = MakePlan(snapshot);
  EXPECT_THAT(plan.starts, IsEmpty());
  EXPECT_THAT(plan.waits[0].sentence, HasSubstr("held by jobs/r (train)"));
}

TEST(Sharing, WhatWaitsSaysWhatIsLeftAndStartsWhenEnoughIsGivenBack) {
  Snapshot snapshot = SharedGpus(1);
  Occupy(snapshot, "a", 10, {"GPU-0"}, 1500);
  Occupy(snapshot, "b", 10, {"GPU-0"}, 1200);
  snapshot.jobs = {Sharing("s", 1, 12, {"GPU-0"})};
  const Plan plan = MakePlan(snapshot);
  ASSERT_THAT(plan.waits, SizeIs(1));
  EXPECT_THAT(plan.waits[0].sentence, HasSubstr("GPU 0, shared, unfenced, with 4.0 of 24.0 GiB "
                                                "left, held by jobs/a (train), jobs/b (train)"));
  EXPECT_EQ(plan.waits[0].earliest_start, 1200);
}

TEST(Sharing, ADrainedDeviceIsSharedNoFurtherAndTheWaitSaysThat) {
  Snapshot snapshot = SharedGpus(1);
  Occupy(snapshot, "a", 10, {"GPU-0"});
  snapshot.devices[0].unusable = "is drained: fan is loud";
  snapshot.jobs = {Sharing("s", 1, 1, {"GPU-0"})};
  const Plan plan = MakePlan(snapshot);
  EXPECT_THAT(plan.starts, IsEmpty());
  EXPECT_THAT(plan.waits[0].sentence, HasSubstr("GPU 0, which is drained: fan is loud"));
}

TEST(Sharing, AJobOfItsOwnWaitsForTheLastShare) {
  Snapshot snapshot = SharedGpus(1);
  Occupy(snapshot, "a", 10, {"GPU-0"}, 1500);
  Occupy(snapshot, "b", 10, {"GPU-0"}, 1200);
  snapshot.jobs = {Sharing("own", 1, 0, {"GPU-0"})};
  EXPECT_EQ(MakePlan(snapshot).waits[0].earliest_start, 1500);
}

TEST(Sharing, ADeviceWithoutMemoryIsNotShared) {
  Snapshot snapshot = SharedGpus(1);
  snapshot.devices[0].memory_bytes = 0;
  snapshot.jobs = {Sharing("s", 1, 1)};
  EXPECT_THAT(MakePlan(snapshot).starts, IsEmpty());
}

TEST(Sharing, OnlyWhenAllSharesCanBeStoppedAreTheyForAJobOfHigherPriority) {
  Snapshot snapshot = SharedGpus(1);
  Occupy(snapshot, "a", 10, {"GPU-0"});
  Occupy(snapshot, "b", 10, {"GPU-0"});
  snapshot.running[0].preemptible = true;
  snapshot.jobs = {Sharing("high", 1, 0, {"GPU-0"})};
  snapshot.jobs[0].priority = 5;
  EXPECT_THAT(MakePlan(snapshot).stops, IsEmpty());
  snapshot.running[1].preemptible = true;
  EXPECT_THAT(MakePlan(snapshot).stops, SizeIs(2));
  snapshot.jobs[0].share_bytes = 20 * kGiB;
  EXPECT_THAT(MakePlan(snapshot).stops, IsEmpty());
}

}  // namespace
}  // namespace yoke::scheduler
