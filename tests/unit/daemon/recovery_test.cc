#include "server/daemon/recovery.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/ipc/attempt_files.h"
#include "common/os/file.h"
#include "common/os/ofd_lock.h"
#include "server/jobs/ids.h"
#include "server/jobs/spec.h"
#include "server/launcher/attempt_folder.h"
#include "server/store/job_store_sqlite.h"
#include "tests/support/temp_folder.h"

namespace yoke::daemon {
namespace {

using jobs::JobRecord;
using v1::Attempt;
using v1::Job;

class Recovery : public testing::Test {
 protected:
  void SetUp() override {
    auto store = store::OpenJobStore({.path = folder_ / "yoke.db"});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
  }
  void Folder(const std::string& id, int number, const std::string& device,
              const std::string& outcome = "") {
    ipc::AttemptSpec spec;
    spec.job = jobs::JobName(id);
    spec.attempt = number;
    spec.run_id = absl::StrCat("run-", id, "-", number);
    spec.attempt_dir = launcher::AttemptDir(root_, id, number);
    spec.run_dir = launcher::RunDir(root_, id);
    spec.cache_dir = folder_ / "cache";
    spec.worker = "/bin/worker";
    spec.ranks = {{{device}, 1}};
    spec.user_set = {"data"};
    v1::JobSpec asked;
    asked.mutable_train()->set_data("/data.yaml");
    spec.spec = jobs::SpecJson(jobs::Resolve(asked).spec);
    const launcher::AttemptFolder attempt(spec.attempt_dir);
    ASSERT_TRUE(attempt.Create(spec).ok());
    if (outcome.empty()) return;
    ipc::ExitRecord exit;
    exit.run_id = spec.run_id;
    exit.outcome = outcome;
    exit.message = "so it ended";
    exit.end_time = 1'700'000'000;
    ASSERT_TRUE(ipc::WriteJsonFile(attempt.Path("exit.json"), ipc::ToJson(exit)).ok());
  }
  std::string Known() {
    JobRecord job;
    job.id = jobs::NewJobId();
    job.public_job.set_state(Job::QUEUED);
    job.public_job.set_owner("ann");
    return store_->Create(job)->id;
  }
  std::vector<std::string> TakeUp() {
    auto said = TakeUpAttempts(root_, *store_);
    EXPECT_TRUE(said.ok()) << said.status();
    return said.value_or(std::vector<std::string>());
  }
  Job Show(const std::string& id) { return store_->Get(id).value().public_job; }

  TempFolder folder_;
  const std::string root_ = folder_ / "jobs";
  std::unique_ptr<jobs::JobStore> store_;
};

TEST_F(Recovery, AttemptsThatTheDatabaseForgotAreTheJobsAgain) {
  const std::string id = Known(), untouched = Known();
  Folder(id, 1, "cpu:0", "failed");
  Folder(id, 2, "cpu:1");
  EXPECT_TRUE(HasAttempts(root_));
  EXPECT_EQ(TakeUp().size(), 1u);
  const Job job = Show(id);
  EXPECT_EQ(job.state(), Job::STARTING);
  ASSERT_EQ(job.attempts_size(), 2);
  EXPECT_EQ(job.attempts(0).outcome(), Attempt::FAILED);
  EXPECT_EQ(job.attempts(0).end_time().seconds(), 1'700'000'000);
  EXPECT_EQ(job.attempts(1).outcome(), Attempt::OUTCOME_UNSPECIFIED);
  EXPECT_EQ(job.attempts(1).run_id(), absl::StrCat("run-", id, "-2"));
  EXPECT_EQ(job.attempts(1).device_uuids(0), "cpu:1");
  ASSERT_EQ(store_->ListLeases()->size(), 1u);
  EXPECT_EQ(store_->ListLeases()->front().device_uuid, "cpu:1");
  EXPECT_EQ(Show(untouched).state(), Job::QUEUED);
  EXPECT_TRUE(TakeUp().empty());  // again changes nothing
  EXPECT_EQ(Show(id).attempts_size(), 2);
}

TEST_F(Recovery, AJobThatOnlyItsFolderTellsOfIsGivenBack) {
  const std::string id = jobs::NewJobId();
  Folder(id, 1, "cpu:0", "succeeded");
  EXPECT_EQ(TakeUp().size(), 2u);
  const JobRecord record = store_->Get(id).value();
  EXPECT_EQ(record.public_job.state(), Job::STARTING);  // the launcher reads how it ended
  EXPECT_EQ(record.public_job.spec().train().data(), "/data.yaml");
  EXPECT_EQ(record.user_set, std::vector<std::string>{"data"});
  EXPECT_FALSE(record.public_job.owner().empty());
  EXPECT_TRUE(store_->ListLeases()->empty());  // what has ended holds nothing
}

TEST_F(Recovery, OfTwoThatNameOneDeviceItIsTheLivingOnes) {
  const std::string lost = Known(), runs = Known();
  Folder(lost, 1, "cpu:0");
  Folder(runs, 1, "cpu:0");
  const auto lock = os::OfdLock::Take(launcher::AttemptDir(root_, runs, 1) + "/lock");
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(TakeUp().size(), 1u);
  EXPECT_EQ(Show(lost).state(), Job::STARTING);
  EXPECT_EQ(Show(runs).state(), Job::STARTING);
  ASSERT_EQ(store_->ListLeases()->size(), 1u);
  EXPECT_EQ(store_->ListLeases()->front().job_id, runs);
}

TEST_F(Recovery, AStopThatWasAskedForIsNotForgotten) {
  const std::string id = Known();
  ASSERT_TRUE(store_
                  ->Update(id,
                           [](JobRecord& job, jobs::JobStore::LeaseChange&) {
                             job.stop_requested = true;
                             return absl::OkStatus();
                           })
                  .ok());
  Folder(id, 1, "cpu:0");
  TakeUp();
  EXPECT_EQ(Show(id).state(), Job::STOPPING);
}

TEST_F(Recovery, WhatCannotBeReadIsLeftAlone) {
  EXPECT_FALSE(HasAttempts(root_));
  EXPECT_TRUE(TakeUp().empty());
  const std::string id = jobs::NewJobId();
  ASSERT_TRUE(os::MakeDirs(launcher::AttemptDir(root_, id, 1)).ok());
  const std::string spec = launcher::AttemptDir(root_, id, 1) + "/spec.json";
  for (const char* text : {"", "{", "[]", "{\"protocol\": 1}"}) {
    ASSERT_TRUE(os::AtomicWriteFile(spec, text).ok());
    EXPECT_TRUE(TakeUp().empty()) << text;
  }
  ASSERT_TRUE(os::MakeDirs(root_ + "/lost+found/attempts/1").ok());
  EXPECT_TRUE(TakeUp().empty());
  EXPECT_TRUE(store_->List({}, 10, "")->jobs.empty());
}

}  // namespace
}  // namespace yoke::daemon
