// The daemon without its network, with the real shim and a scripted worker: whole lives of jobs.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/ipc/attempt_files.h"
#include "common/os/file.h"
#include "common/os/process.h"
#include "server/daemon/core.h"
#include "server/jobs/ids.h"
#include "server/jobs/spec.h"
#include "server/jobs/state_machine.h"
#include "tests/support/signal_one.h"

namespace yoke::daemon {
namespace {

using v1::Job;
using v1::JobReason;

std::string BinDir() {
  const char* dir = std::getenv("YOKE_BIN_DIR");
  return dir == nullptr ? "bin" : dir;
}

class DaemonCore : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "yoke-core.XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
    config_.state = folder_ + "/state";
    config_.nvml = "none";
    config_.cpu_slots = 4;
    config_.worker_path = BinDir() + "/fake_worker";
    config_.shim_path = BinDir() + "/yoke-shim";
    Script("{}");
  }

  void TearDown() override {
    if (core_ != nullptr) {
      const std::vector<jobs::JobRecord> open = core_->store().ListOpen().value();
      for (const jobs::JobRecord& job : open) {
        core_->control().Cancel(job.id, absl::ZeroDuration(), "").IgnoreError();
        WaitForEnd(job.id);
      }
    }
    core_.reset();
    unsetenv("YOKE_FAKE_WORKER");
    std::filesystem::remove_all(folder_);
  }

  void Script(const std::string& json) { setenv("YOKE_FAKE_WORKER", json.c_str(), 1); }

  void Open() {
    auto core = Core::Open(config_);
    ASSERT_TRUE(core.ok()) << core.status();
    core_ = std::move(*core);
    ASSERT_TRUE(core_->Begin([] {}, [] {}).ok());
  }

  // As the service does it.
  std::string Submit(const std::string& device, int priority = 0, const std::string& owner = "me") {
    v1::JobSpec asked;
    asked.mutable_train()->set_data("/data.yaml");
    asked.set_device(device);
    const jobs::ResolvedSpec resolved = jobs::Resolve(asked);
    jobs::JobRecord job;
    job.id = jobs::NewJobId();
    job.public_job.set_state(Job::QUEUED);
    job.public_job.set_owner(owner);
    job.public_job.set_priority(priority);
    *job.public_job.mutable_spec() = resolved.spec;
    const auto selection = core_->inventory().Resolve(device);
    EXPECT_TRUE(selection.ok()) << selection.status();
    for (const v1::Device& chosen : selection->devices) job.public_job.add_device_uuids(chosen.uuid());
    const auto created = core_->store().Create(job);
    EXPECT_TRUE(created.ok()) << created.status();
    return job.id;
  }

  Job Show(const std::string& id) { return core_->store().Get(id)->public_job; }

  Job WaitFor(const std::string& id, const std::function<bool(const Job&)>& holds, int seconds = 20) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    for (;;) {
      Job job = Show(id);
      if (holds(job)) return job;
      if (std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "in vain; the job is now " << job.ShortDebugString();
        return job;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  Job WaitForEnd(const std::string& id) {
    return WaitFor(id, [](const Job& job) { return jobs::IsTerminal(job.state()); });
  }
  Job WaitForState(const std::string& id, Job::State state) {
    return WaitFor(id, [state](const Job& job) { return job.state() == state; });
  }

  static std::vector<pid_t> Processes(const Job& job) {
    return os::FindProcessesWithEnv(absl::StrCat("YOKE_RUN_ID=", job.attempts(job.attempts_size() - 1).run_id()));
  }
  pid_t PidOfRank(const Job& job, int rank) {
    for (int tries = 0; tries < 500; ++tries) {
      for (const pid_t pid : Processes(job)) {
        if (os::HasEnv(pid, absl::StrCat("RANK=", rank))) return pid;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ADD_FAILURE() << "no rank " << rank;
    return -1;
  }

  std::string folder_;
  Config config_;
  std::unique_ptr<Core> core_;
};

TEST_F(DaemonCore, RunsAJobToItsEndAndGivesTheDevicesBack) {
  Script(R"({"run_for": 0.3})");
  Open();
  const std::string id = Submit("0,1");
  const Job job = WaitForEnd(id);
  EXPECT_EQ(job.state(), Job::SUCCEEDED) << job.ShortDebugString();
  EXPECT_EQ(job.reason(), JobReason::COMPLETED);
  EXPECT_EQ(job.result().train().world_size(), 2);
  EXPECT_EQ(job.result().train().weights_checksum_size(), 2);
  EXPECT_GT(job.result().train().peak_rss_bytes(), 0);
  ASSERT_EQ(job.attempts_size(), 1);
  EXPECT_EQ(job.attempts(0).outcome(), v1::Attempt::SUCCEEDED);
  EXPECT_EQ(job.attempts(0).world_size(), 2);
  EXPECT_EQ(job.progress().epoch(), 3);
  EXPECT_TRUE(job.has_end_time());
  EXPECT_TRUE(core_->store().ListLeases()->empty());
  EXPECT_TRUE(Processes(job).empty());
}

TEST_F(DaemonCore, CpuIsOneRankThatHoldsEverySlot) {
  Script(R"({"run_for": 0.2})");
  Open();
  const Job job = WaitForEnd(Submit("cpu"));
  EXPECT_EQ(job.state(), Job::SUCCEEDED);
  EXPECT_EQ(job.attempts(0).world_size(), 1);
  EXPECT_EQ(job.attempts(0).device_uuids_size(), 4);
}

TEST_F(DaemonCore, JobsOnDisjointDevicesRunAtOnceAndAThirdWaitsAndSaysWhy) {
  Script(R"({"run_for": 1.5})");
  Open();
  const std::string a = Submit("0,2"), b = Submit("1,3"), c = Submit("0,1");
  WaitForState(a, Job::RUNNING);
  WaitForState(b, Job::RUNNING);
  EXPECT_EQ(Show(a).state(), Job::RUNNING);
  // What it says follows the starts a moment later.
  const Job waiting = WaitFor(c, [&](const Job& job) {
    return job.reason() == JobReason::WAITING_FOR_DEVICES && absl::StrContains(job.message(), "held by jobs/" + b);
  });
  EXPECT_EQ(waiting.state(), Job::QUEUED);
  EXPECT_EQ(waiting.message(), absl::StrCat("waits for CPU slot 0, held by jobs/", a, " (train); CPU slot 1, held by jobs/", b, " (train)"));
  EXPECT_EQ(WaitForEnd(c).state(), Job::SUCCEEDED);
  EXPECT_EQ(Show(a).state(), Job::SUCCEEDED);
}

TEST_F(DaemonCore, OnlyTheHeadOfALongQueueIsExplainedAndAnOvertakenJobNoLonger) {
  Script(R"({"run_for": 60})");
  Open();
  const std::string running = Submit("0");
  WaitForState(running, Job::RUNNING);
  std::vector<std::string> queued;
  for (int i = 0; i < 65; ++i) queued.push_back(Submit("0"));
  WaitFor(queued.back(), [](const Job& job) { return job.message() == jobs::kWaitsItsTurn; });
  WaitFor(queued[63], [&](const Job& job) {
    return job.message() ==
           absl::StrCat("waits for CPU slot 0, held by jobs/", running, " (train)");
  });
  const std::string urgent = Submit("0", /*priority=*/1);
  WaitFor(urgent, [](const Job& job) { return job.reason() == JobReason::WAITING_FOR_DEVICES; });
  WaitFor(queued[63], [](const Job& job) { return job.message() == jobs::kWaitsItsTurn; });
  for (const std::string& id : queued)
    ASSERT_TRUE(core_->control().Cancel(id, absl::Seconds(1), "").ok());
  ASSERT_TRUE(core_->control().Cancel(urgent, absl::Seconds(1), "").ok());
  ASSERT_TRUE(core_->control().Cancel(running, absl::Seconds(1), "").ok());
  EXPECT_EQ(WaitForEnd(running).state(), Job::CANCELLED);
}

TEST_F(DaemonCore, AKilledRankFailsTheJobWithItsRankAndSignal) {
  Script(R"({"run_for": 60})");
  Open();
  const std::string id = Submit("0,1");
  const Job running = WaitForState(id, Job::RUNNING);
  SignalOne(PidOfRank(running, 1), SIGKILL);
  const Job job = WaitForEnd(id);
  EXPECT_EQ(job.state(), Job::FAILED);
  EXPECT_EQ(job.reason(), JobReason::RANK_FAILED);
  EXPECT_EQ(job.error().rank(), 1);
  EXPECT_EQ(job.error().signal(), SIGKILL);
  EXPECT_TRUE(core_->store().ListLeases()->empty());
  EXPECT_TRUE(Processes(job).empty());
}

TEST_F(DaemonCore, BadInputFoundByThePreparationIsTheJobsReason) {
  Script(R"({"prepare": {"exit_code": 10, "lines": ["{\"ok\":false,\"reason\":\"BAD_INPUT\",\"message\":\"data.yaml has no names\"}"]}})");
  Open();
  const Job job = WaitForEnd(Submit("0,1"));
  EXPECT_EQ(job.state(), Job::FAILED);
  EXPECT_EQ(job.reason(), JobReason::BAD_INPUT);
  EXPECT_EQ(job.message(), "data.yaml has no names");
  EXPECT_EQ(job.error().rank(), -1);
}

TEST_F(DaemonCore, CancelStopsARunningJobAndItsPartialWeightsStay) {
  Script(R"({"run_for": 60})");
  Open();
  const std::string id = Submit("0,1");
  WaitFor(id, [](const Job& job) { return job.progress().done() > 0; });
  const auto stopping = core_->control().Cancel(id, absl::Seconds(5), "enough");
  ASSERT_TRUE(stopping.ok()) << stopping.status();
  EXPECT_EQ(stopping->public_job.state(), Job::STOPPING);
  EXPECT_TRUE(core_->control().Cancel(id, absl::Seconds(5), "").ok());  // again, while it stops
  const Job job = WaitForEnd(id);
  EXPECT_EQ(job.state(), Job::CANCELLED);
  EXPECT_EQ(job.reason(), JobReason::CANCELLED_BY_USER);
  EXPECT_TRUE(os::FileExists(job.run_dir() + "/weights/last.pt"));
  EXPECT_TRUE(core_->store().ListLeases()->empty());
  EXPECT_EQ(core_->control().Cancel(id, absl::Seconds(5), "").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(DaemonCore, WhoSaysNoGraceGivesTheConfiguredOne) {
  Script(R"({"run_for": 60, "ignore_term": true})");
  config_.grace_seconds = 1;
  Open();
  const std::string id = Submit("0");
  PidOfRank(WaitForState(id, Job::RUNNING), 0);
  const auto stopping = core_->control().Cancel(id, std::nullopt, "");
  ASSERT_TRUE(stopping.ok()) << stopping.status();
  EXPECT_EQ(stopping->stop_grace_seconds, 1);
  EXPECT_EQ(WaitForEnd(id).state(), Job::CANCELLED);
}

TEST_F(DaemonCore, AJobThatIgnoresItsStopIsKilledAfterTheGrace) {
  Script(R"({"run_for": 60, "ignore_term": true})");
  Open();
  const std::string id = Submit("0");
  PidOfRank(WaitForState(id, Job::RUNNING), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  ASSERT_TRUE(core_->control().Cancel(id, absl::Milliseconds(300), "").ok());
  const Job job = WaitForEnd(id);
  EXPECT_EQ(job.state(), Job::CANCELLED) << job.message();
  EXPECT_TRUE(Processes(job).empty());
}

TEST_F(DaemonCore, AWaitingJobIsCancelledAtOnce) {
  Script(R"({"run_for": 60})");
  Open();
  WaitForState(Submit("0"), Job::RUNNING);
  const std::string waiting = Submit("0");
  const auto cancelled = core_->control().Cancel(waiting, absl::Seconds(1), "");
  ASSERT_TRUE(cancelled.ok());
  EXPECT_EQ(cancelled->public_job.state(), Job::CANCELLED);
}

TEST_F(DaemonCore, ANewDaemonAdoptsWhatRunsAndFinishesWhatEnded) {
  Script(R"({"run_for": 3})");
  Open();
  const std::string lives = Submit("0");
  WaitForState(lives, Job::RUNNING);  // it has read its script
  Script(R"({"run_for": 0.3})");
  const std::string ends = Submit("1");
  const Job before = Show(lives);
  WaitForState(ends, Job::RUNNING);
  const pid_t rank = PidOfRank(before, 0);
  core_.reset();
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  Open();
  EXPECT_EQ(WaitForEnd(ends).state(), Job::SUCCEEDED);
  EXPECT_EQ(PidOfRank(before, 0), rank);
  const Job job = WaitForEnd(lives);
  EXPECT_EQ(job.state(), Job::SUCCEEDED) << job.ShortDebugString();
  EXPECT_EQ(job.attempts_size(), 1);
}

TEST_F(DaemonCore, AStopAskedBeforeADaemonDiedIsCarriedOutByTheNext) {
  Script(R"({"run_for": 60})");
  Open();
  const std::string id = Submit("0");
  WaitForState(id, Job::RUNNING);
  core_->End();
  // The intent is committed, and the daemon dies before it tells the shim.
  ASSERT_TRUE(core_->store()
                  .Update(id,
                          [](jobs::JobRecord& job, jobs::JobStore::LeaseChange&) {
                            job.stop_requested = true;
                            job.stop_reason = "cancel";
                            job.public_job.set_state(Job::STOPPING);
                            return absl::OkStatus();
                          })
                  .ok());
  core_.reset();
  Open();
  EXPECT_EQ(WaitForEnd(id).state(), Job::CANCELLED);
}

TEST_F(DaemonCore, AKilledShimIsLostItsRanksAreSweptAndTheDeviceIsFree) {
  config_.attempts_max = 1;
  Script(R"({"run_for": 60})");
  Open();
  const std::string id = Submit("0,1");
  const Job running = WaitFor(id, [](const Job& job) { return job.state() == Job::RUNNING && job.attempts(0).shim_pid() > 0; });
  PidOfRank(running, 1);
  SignalOne(static_cast<pid_t>(running.attempts(0).shim_pid()), SIGKILL);
  const Job job = WaitForEnd(id);
  EXPECT_EQ(job.state(), Job::FAILED);
  EXPECT_EQ(job.reason(), JobReason::LOST);
  EXPECT_EQ(job.attempts(0).outcome(), v1::Attempt::LOST);
  EXPECT_TRUE(Processes(job).empty());
  EXPECT_TRUE(core_->store().ListLeases()->empty());
}

TEST_F(DaemonCore, ALostAttemptIsTriedAgainAfterAVisibleWaitAndContinues) {
  Script(R"({"run_for": 1.5})");
  Open();
  const std::string id = Submit("0");
  const Job running = WaitFor(id, [](const Job& job) { return job.state() == Job::RUNNING && job.attempts(0).shim_pid() > 0; });
  SignalOne(static_cast<pid_t>(running.attempts(0).shim_pid()), SIGKILL);
  const Job waiting = WaitFor(id, [](const Job& job) { return job.reason() == JobReason::WAITING_FOR_RETRY; });
  EXPECT_EQ(waiting.state(), Job::QUEUED);
  EXPECT_EQ(waiting.message().find("tries again in 1 s (attempt 2 of 3)"), 0u) << waiting.message();
  EXPECT_TRUE(waiting.has_next_attempt_time());
  EXPECT_TRUE(core_->store().ListLeases()->empty());
  const Job job = WaitForEnd(id);
  EXPECT_EQ(job.state(), Job::SUCCEEDED) << job.ShortDebugString();
  ASSERT_EQ(job.attempts_size(), 2);
  EXPECT_EQ(job.attempts(0).outcome(), v1::Attempt::LOST);
  EXPECT_EQ(job.attempts(1).outcome(), v1::Attempt::SUCCEEDED);
  EXPECT_FALSE(job.has_next_attempt_time());
  EXPECT_GE(job.attempts(1).start_time().seconds() - job.attempts(0).end_time().seconds(), 0);
  const std::string spec = os::ReadFile(core_->control().AttemptDir(id, 2) + "/spec.json").value();
  EXPECT_NE(spec.find(job.run_dir()), std::string::npos);
}

TEST_F(DaemonCore, ARebootIsToldByTheBootIdAndTheJobGoesOn) {
  Script(R"({"run_for": 60})");
  Open();
  const std::string id = Submit("0");
  const Job running = WaitFor(id, [](const Job& job) { return job.state() == Job::RUNNING && job.attempts(0).shim_pid() > 0; });
  core_.reset();
  SignalOne(static_cast<pid_t>(running.attempts(0).shim_pid()), SIGKILL);
  while (!Processes(running).empty()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const std::string started = config_.state + "/jobs/" + id + "/attempts/1/started";
  auto record = ipc::StartRecordFromJson(ipc::ReadJsonFile(started).value()).value();
  record.boot_id = "another-boot";
  ASSERT_TRUE(ipc::WriteJsonFile(started, ipc::ToJson(record)).ok());
  Script(R"({"run_for": 0.2})");
  Open();
  const Job waiting = WaitFor(id, [](const Job& job) { return job.reason() == JobReason::WAITING_FOR_RETRY; });
  EXPECT_NE(waiting.message().find("The machine was restarted"), std::string::npos) << waiting.message();
  const Job job = WaitForEnd(id);
  EXPECT_EQ(job.state(), Job::SUCCEEDED);
  EXPECT_EQ(job.attempts_size(), 2);
}

TEST_F(DaemonCore, ACrashLoopEndsAndOthersPassMeanwhile) {
  config_.attempts_max_failed = 3;
  Script(R"({"run_for": 0.05, "exit_code": 3})");
  Open();
  const std::string loops = Submit("0");
  WaitFor(loops, [](const Job& job) { return job.reason() == JobReason::WAITING_FOR_RETRY; });
  const std::string other = Submit("0");  // the same device, in the pauses
  const Job job = WaitForEnd(loops);
  EXPECT_EQ(job.state(), Job::FAILED);
  EXPECT_EQ(job.attempts_size(), 3);
  EXPECT_EQ(job.reason(), JobReason::RANK_FAILED);
  EXPECT_NE(job.message().find("It was tried 3 times."), std::string::npos) << job.message();
  EXPECT_GE(Show(other).attempts_size(), 1);
}

TEST_F(DaemonCore, AJobThatWaitsForItsNextTryCanBeCancelled) {
  config_.attempts_max_failed = 9;
  Script(R"({"run_for": 0.05, "exit_code": 3})");
  Open();
  const std::string id = Submit("0");
  WaitFor(id, [](const Job& job) { return job.reason() == JobReason::WAITING_FOR_RETRY && job.attempts_size() == 2; });
  const auto cancelled = core_->control().Cancel(id, absl::Seconds(1), "");
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->public_job.state(), Job::CANCELLED);
  EXPECT_FALSE(cancelled->public_job.has_next_attempt_time());
}

TEST_F(DaemonCore, AShimThatCannotBeStartedFailsTheJobAndFreesTheDevice) {
  config_.shim_path = folder_ + "/no-such-shim";
  Open();
  const Job job = WaitForEnd(Submit("0"));
  EXPECT_EQ(job.state(), Job::FAILED);
  EXPECT_EQ(job.reason(), JobReason::SPAWN_FAILED);
  EXPECT_TRUE(core_->store().ListLeases()->empty());
}

TEST_F(DaemonCore, ASecondDaemonOnTheSameFolderIsRefused) {
  Open();
  const auto second = Core::Open(config_);
  ASSERT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(second.status().message().find(absl::StrCat("locked by pid ", getpid())), absl::string_view::npos);
}

TEST_F(DaemonCore, AFolderOfWhoseJobsNothingTellsNeverStartsEmpty) {
  Open();
  core_.reset();
  const std::string database = config_.state + "/yoke.db", journal = config_.state + "/submissions.journal";
  std::filesystem::remove_all(config_.state + "/backups");
  ASSERT_TRUE(os::RemoveFile(journal).ok());
  ASSERT_TRUE(os::AtomicWriteFile(database, std::string(4096, 'x')).ok());
  EXPECT_EQ(Core::Open(config_).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(os::ReadFile(database).value(), std::string(4096, 'x'));
  ASSERT_TRUE(os::RemoveFile(database).ok());
  EXPECT_EQ(Core::Open(config_).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(os::FileExists(database));
  EXPECT_FALSE(os::FileExists(journal));
}

TEST_F(DaemonCore, OnFourGpusAJobOnTwoLeavesTheOtherTwo) {
  Script(R"({"run_for": 1})");
  config_.nvml = BinDir() + "/../lib/fake/libnvidia-ml.so.1";
  Open();
  const std::string a = Submit("0,2"), b = Submit("1,3"), any = Submit("-1");
  WaitForState(a, Job::RUNNING);
  WaitForState(b, Job::RUNNING);
  EXPECT_EQ(core_->store().ListLeases()->size(), 4u);
  const Job waiting = WaitFor(any, [](const Job& job) { return !job.message().empty(); });
  EXPECT_EQ(waiting.state(), Job::QUEUED);
  EXPECT_EQ(WaitForEnd(any).state(), Job::SUCCEEDED);
  const std::string spec = os::ReadFile(core_->control().AttemptDir(a, 1) + "/spec.json").value();
  EXPECT_NE(spec.find("\"nccl\""), std::string::npos);
  EXPECT_NE(spec.find("GPU 2: NVIDIA GeForce RTX 4090"), std::string::npos);
}

TEST_F(DaemonCore, TheWorkerAnswersQuestionsWithinALimit) {
  Open();
  v1::JobSpec spec;
  spec.mutable_train()->set_data("/d.yaml");
  spec.set_device("0,1");
  const jobs::ResolvedSpec resolved = jobs::Resolve(spec);
  EXPECT_TRUE(core_->control().Prepare(resolved.spec, resolved.user_set).ok());
  EXPECT_NE(core_->control().ProbeWorker().value_or("").find("torch"), std::string::npos);
  Script(R"({"prepare": {"exit_code": 10, "lines": ["{\"ok\":false,\"reason\":\"BAD_INPUT\",\"message\":\"a.txt:3: NaN\"}"]}})");
  const absl::Status refused = core_->control().Prepare(resolved.spec, resolved.user_set).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.message(), "a.txt:3: NaN");
  EXPECT_TRUE(std::filesystem::is_empty(config_.state + "/scratch"));
}

TEST_F(DaemonCore, AQuestionThatTakesTooLongIsEnded) {
  config_.prepare_timeout_seconds = 1;
  Script(R"({"prepare": {"run_for": 60}})");
  Open();
  v1::JobSpec spec;
  spec.mutable_train()->set_data("/d.yaml");
  spec.set_device("0");
  EXPECT_EQ(core_->control().Prepare(jobs::Resolve(spec).spec, {}).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(DaemonCore, OwnersTakeTurnsWhoeverSubmittedFirst) {
  Script(R"({"run_for": 0.3})");
  Open();
  std::vector<std::string> ann, bob;
  for (int i = 0; i < 3; ++i) ann.push_back(Submit("cpu:0", 0, "ann"));
  bob.push_back(Submit("cpu:0", 0, "bob"));
  for (const std::string& id : {bob[0], ann[2]}) WaitFor(id, [](const Job& job) { return job.state() == Job::SUCCEEDED; });
  const auto start = [this](const std::string& id) { return Show(id).start_time().seconds() * 1000 + Show(id).start_time().nanos() / 1000000; };
  EXPECT_LT(start(bob[0]), start(ann[1]));
}

}  // namespace
}  // namespace yoke::daemon
