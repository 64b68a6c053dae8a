// A long queue costs little to plan, and the plan is the one that it would be otherwise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "server/daemon/dispatcher.h"
#include "server/jobs/state_machine.h"

namespace yoke::daemon {
namespace {

constexpr int kGpus = 3;
constexpr size_t kMost = 80;  // more than the jobs whose sentences are kept up to date, and than can start

class Gpus : public devices::DeviceInventory {
 public:
  std::vector<v1::Device> Devices() const override {
    std::vector<v1::Device> all(kGpus);
    for (int i = 0; i < kGpus; ++i) {
      all[i].set_index(i);
      all[i].set_uuid(absl::StrCat("GPU-", i));
      all[i].set_kind(v1::Device::GPU);
      all[i].set_state(v1::Device::FREE);
      all[i].set_memory_total_bytes(int64_t{64} << 30);
    }
    return all;
  }
  absl::StatusOr<devices::DeviceSelection> Resolve(const std::string& device) const override {
    devices::DeviceSelection selection;
    if (device == "7") return absl::InvalidArgumentError("GPU 7 not available.");
    if (device == "gpus:2") {
      selection.gpus_wanted = 2;
    } else if (device == "-1") {
      selection.gpus_wanted = 1;
    } else {
      selection.devices = {Devices()[device[0] - '0']};
    }
    return selection;
  }
  void SetListener(std::function<void()>) override {}
  std::vector<v1::DeviceChoice> Choices() const override { return {}; }
  bool has_gpus() const override { return true; }
  std::vector<int64_t> HolderPids(const std::string&) const override { return {}; }
};

class Queue {
 public:
  explicit Queue(unsigned seed) : random_(seed) {
    for (int i = 0; i < 1500; ++i) jobs_.push_back(Job(i));
    for (int i = 0; i < kGpus; ++i) {
      if (Roll(3) == 0) continue;
      jobs::Lease lease;
      lease.device_uuid = absl::StrCat("GPU-", i);
      lease.job_id = absl::StrCat("running", i);
      leases_.push_back(lease);
      scheduler::RunningJob running;
      running.id = lease.job_id;
      running.owner = Roll(2) == 0 ? "ann" : "bob";
      running.devices = {lease.device_uuid};
      running.priority = -Roll(3);
      running.preemptible = Roll(2) == 0;
      running.started = 0;
      running.time_limit = Roll(2) == 0 ? 5000 : 0;
      running_.push_back(running);
    }
    policy_.owner_running_max = Roll(3) == 0 ? 1 : 0;
    uses_ = {{"ann", 100.0 * Roll(200), 900}};
  }

  scheduler::Snapshot Take(size_t most_alike) const {
    scheduler::Snapshot snapshot = TakeSnapshot(jobs_, leases_, inventory_, most_alike);
    snapshot.now = 1000;
    snapshot.running = running_;
    snapshot.policy = policy_;
    snapshot.uses = uses_;
    return snapshot;
  }

 private:
  int Roll(int sides) { return std::uniform_int_distribution<int>(0, sides - 1)(random_); }

  // Most are of few kinds; each tells its turn but some that were overtaken.
  jobs::JobRecord Job(int i) {
    jobs::JobRecord record;
    record.id = absl::StrCat("job", i);
    record.sequence = i + 1;
    v1::Job& job = record.public_job;
    job.set_name(absl::StrCat("jobs/job", i));
    job.set_state(v1::Job::QUEUED);
    job.set_owner(Roll(3) == 0 ? "bob" : "ann");
    job.set_priority(Roll(20) == 0 ? 5 : 0);
    static constexpr const char* kDevices[] = {"0", "0", "-1", "gpus:2", "1", "7"};
    job.mutable_spec()->set_device(kDevices[Roll(Roll(4) == 0 ? 6 : 3)]);
    if (job.spec().device() == "0") job.add_device_uuids(Roll(50) == 0 ? "GPU-2" : "GPU-0");
    if (Roll(6) == 0) job.mutable_scheduling()->mutable_time_limit()->set_seconds(600);
    if (Roll(6) == 0) job.mutable_scheduling()->set_share_memory_bytes(int64_t{20} << 30);
    job.set_reason(v1::JobReason::WAITING_FOR_PRIORITY);
    job.set_message(Roll(30) == 0 ? "waits for GPU 0" : jobs::kWaitsItsTurn);
    return record;
  }

  std::mt19937 random_;
  Gpus inventory_;
  std::vector<jobs::JobRecord> jobs_;
  std::vector<jobs::Lease> leases_;
  std::vector<scheduler::RunningJob> running_;
  std::vector<scheduler::Use> uses_;
  scheduler::Policy policy_;
};

std::vector<std::string> Told(const scheduler::Plan& plan) {
  std::vector<std::string> told;
  for (const scheduler::Start& start : plan.starts) {
    told.push_back(absl::StrCat("start ", start.job_id));
    for (const std::string& uuid : start.device_uuids) absl::StrAppend(&told.back(), " ", uuid);
  }
  for (const scheduler::Stop& stop : plan.stops) told.push_back(absl::StrCat("stop ", stop.job_id, " for ", stop.for_job));
  told.push_back(absl::StrCat("wake at ", plan.wake_at));
  for (size_t i = 0; i < std::min<size_t>(plan.waits.size(), 64); ++i)
    told.push_back(absl::StrCat(plan.waits[i].job_id, " ", plan.waits[i].sentence));
  return told;
}

TEST(Snapshot, RepeatsOfAJobChangeNothingOfThePlan) {
  int starts = 0, stops = 0, repeats = 0;
  for (unsigned seed = 0; seed < 300; ++seed) {
    const Queue queue(seed);
    const scheduler::Snapshot all = queue.Take(1500), few = queue.Take(kMost);
    ASSERT_TRUE(all.repeats.empty());
    const scheduler::Plan plan = scheduler::MakePlan(all);
    ASSERT_EQ(Told(scheduler::MakePlan(few)), Told(plan)) << "seed " << seed;
    starts += static_cast<int>(plan.starts.size());
    stops += static_cast<int>(plan.stops.size());
    repeats += static_cast<int>(few.repeats.size());
  }
  EXPECT_GT(starts, 100);
  EXPECT_GT(stops, 10);
  EXPECT_GT(repeats, 100'000);
}

TEST(Snapshot, AJobThatWasOvertakenIsPlannedUntilItSaysSo) {
  std::vector<jobs::JobRecord> open(4);
  for (size_t i = 0; i < open.size(); ++i) {
    open[i].id = absl::StrCat("job", i);
    open[i].sequence = static_cast<int64_t>(i);
    open[i].public_job.set_state(v1::Job::QUEUED);
    open[i].public_job.mutable_spec()->set_device("0");
    open[i].public_job.set_reason(v1::JobReason::WAITING_FOR_PRIORITY);
    open[i].public_job.set_message(i == 2 ? "waits for GPU 0" : jobs::kWaitsItsTurn);
  }
  const scheduler::Snapshot snapshot = TakeSnapshot(open, {}, Gpus(), 1);
  ASSERT_EQ(snapshot.jobs.size(), 2u);
  EXPECT_EQ(snapshot.jobs[1].id, "job2");
  ASSERT_EQ(snapshot.repeats.size(), 2u);
  EXPECT_EQ(snapshot.repeats[1].like, 0u);
  EXPECT_EQ(snapshot.repeats[1].sequence, 3);
}

}  // namespace
}  // namespace yoke::daemon
