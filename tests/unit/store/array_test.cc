// Arrays as rows: an index is made once, whatever is lost between.
#include "server/jobs/array.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/os/file.h"
#include "server/jobs/ids.h"
#include "server/jobs/open_jobs.h"
#include "server/jobs/sweep.h"
#include "server/store/job_store_sqlite.h"
#include "server/store/schema.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/store/kept_database.h"

namespace yoke::store {
namespace {

using jobs::ArrayWithTasks;
using jobs::JobRecord;
using jobs::JobStore;
using testing::ElementsAre;
using v1::Job;
namespace fs = std::filesystem;

class StoredArray : public testing::Test {
 protected:
  void Open() {
    store_.reset();
    auto store = OpenJobStore({.path = database_});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
  }
  std::string Add(int count) {
    JobRecord job;
    job.id = jobs::NewJobId();
    job.public_job.set_state(Job::QUEUED);
    job.public_job.set_owner("ann");
    v1::JobSpec asked;
    asked.mutable_train()->set_data("/d.yaml");
    job.public_job.mutable_array()->set_count(count);
    EXPECT_TRUE(jobs::CompleteArray(asked, 1, *job.public_job.mutable_array()).empty());
    return store_->Create(job)->id;
  }
  absl::StatusOr<ArrayWithTasks> Make(const std::string& id, int most) {
    return store_->UpdateArray(id, [&](ArrayWithTasks& change) {
      return jobs::MakeTasks(most, absl::Now(), jobs::NewJobId, change);
    });
  }
  void Move(const std::string& id, Job::State state) {
    ASSERT_TRUE(store_
                    ->Update(id,
                             [&](JobRecord& job, JobStore::LeaseChange&) {
                               job.public_job.set_state(state);
                               return absl::OkStatus();
                             })
                    .ok());
  }
  std::vector<int> Indices(const std::string& id) {
    std::vector<int> indices;
    jobs::JobFilter filter;
    filter.array = id;
    const std::vector<JobRecord> tasks = store_->List(filter, 1000, "")->jobs;
    for (const JobRecord& task : tasks) indices.push_back(task.public_job.array_index());
    std::reverse(indices.begin(), indices.end());
    return indices;
  }
  Job Get(const std::string& id) { return store_->Get(id)->public_job; }
  void Keep() { kept_.Keep(); }
  void PutBack() {
    store_.reset();
    kept_.PutBack();
  }

  TempFolder folder_;
  const std::string database_ = folder_.path() + "/yoke.db";
  const KeptDatabase kept_{database_, folder_.path() + "/copy"};
  std::unique_ptr<JobStore> store_;
};

TEST_F(StoredArray, CountsFollowTasksInTheirTransactionAndOverARestart) {
  Open();
  const std::string id = Add(3);
  ASSERT_TRUE(Make(id, 2).ok());
  EXPECT_THAT(Indices(id), ElementsAre(0, 1));
  jobs::JobFilter tasks, no_tasks;
  tasks.array = id;
  no_tasks.array = "";
  EXPECT_EQ(store_->List(no_tasks, 100, "")->jobs.size(), 1u);
  const std::vector<JobRecord> made = store_->List(tasks, 100, "")->jobs;
  Move(made[0].id, Job::STARTING);
  Move(made[1].id, Job::STARTING);
  Move(made[1].id, Job::SUCCEEDED);
  Open();
  const v1::Array counts = Get(id).array();
  EXPECT_EQ(counts.running(), 1);
  EXPECT_EQ(counts.succeeded(), 1);
  EXPECT_EQ(counts.made(), 2);
  ASSERT_TRUE(Make(id, 5).ok());
  EXPECT_THAT(Indices(id), ElementsAre(0, 1, 2));
  const std::vector<JobRecord> open = store_->List(tasks, 100, "")->jobs;
  for (const JobRecord& task : open) {
    if (task.public_job.state() != Job::SUCCEEDED) Move(task.id, Job::SUCCEEDED);
  }
  EXPECT_EQ(Get(id).state(), Job::SUCCEEDED);
  EXPECT_FALSE(Make(id, 1).ok());
  EXPECT_FALSE(
      store_->UpdateArray(made[0].id, [](ArrayWithTasks&) { return absl::OkStatus(); }).ok());
}

TEST_F(StoredArray, TheOpenJobsInMemoryAreTheArrayInBriefAndThoseOfItsTasksThatWereMade) {
  Open();
  const std::string id = Add(3);
  ASSERT_TRUE(Make(id, 2).ok());
  const auto check = [&] {
    std::vector<int> indices;
    for (const JobRecord& job : store_->Open()) {
      if (jobs::IsTask(job.public_job)) indices.push_back(job.public_job.array_index());
      if (!jobs::IsArray(job.public_job)) continue;
      EXPECT_EQ(jobs::TasksLeft(job.public_job), 1);
      EXPECT_EQ(job.public_job.array().queued(), static_cast<int>(store_->Open().size()) - 1);
      EXPECT_FALSE(job.public_job.array().has_asked());
    }
    return indices;
  };
  EXPECT_THAT(check(), ElementsAre(0, 1));
  Open();
  EXPECT_THAT(check(), ElementsAre(0, 1));
  jobs::JobFilter tasks;
  tasks.array = id;
  Move(store_->List(tasks, 1, "")->jobs[0].id, Job::SUCCEEDED);
  EXPECT_THAT(check(), ElementsAre(0));
  EXPECT_TRUE(Get(id).array().has_asked());
}

TEST_F(StoredArray, TasksThatStartWithOneCommitAreAllCountedAndShareADeviceAsLongAsTheyFit) {
  Open();
  const std::string id = Add(3);
  ASSERT_TRUE(Make(id, 3).ok());
  jobs::JobFilter tasks;
  tasks.array = id;
  const std::vector<JobRecord> made = store_->List(tasks, 100, "")->jobs;
  std::vector<JobStore::Edit> edits;
  for (const JobRecord& task : made) {
    edits.push_back({task.id, [](JobRecord& job, JobStore::LeaseChange& leases) {
                       job.public_job.set_state(Job::STARTING);
                       job.public_job.mutable_scheduling()->set_share_memory_bytes(10);
                       leases.take = {"GPU-0"};
                       leases.memory_bytes["GPU-0"] = 24;
                       return absl::OkStatus();
                     }});
  }
  const auto started = store_->UpdateEach(edits, jobs::Until::kDurable);
  EXPECT_TRUE(started[0].ok() && started[1].ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(started[2].status())) << started[2].status();
  EXPECT_THAT(std::string(started[2].status().message()), testing::HasSubstr("4 bytes left"));
  const Job array = Get(id);
  EXPECT_EQ(array.state(), Job::RUNNING);
  EXPECT_EQ(array.array().running(), 2);
  EXPECT_EQ(array.array().queued(), 1);
  EXPECT_EQ(store_->ListLeases()->size(), 2u);
}

// A power cut can tear what was not synced: an array that counts tasks of which nobody knows would
// take them for lost.
TEST_F(StoredArray, AJournalHasAnArrayWithAllTasksThatItCountsOrAsItWasBefore) {
  Open();
  const std::string id = Add(9);
  ASSERT_TRUE(Make(id, 1).ok());
  Keep();
  const int64_t whole = static_cast<int64_t>(fs::file_size(JournalPath(database_)));
  ASSERT_TRUE(Make(id, 3).ok());
  PutBack();
  const int64_t longer = static_cast<int64_t>(fs::file_size(JournalPath(database_)));
  ASSERT_GT(longer, whole + 100);
  fs::resize_file(JournalPath(database_), static_cast<uintmax_t>(longer - 40));
  Open();
  EXPECT_EQ(Get(id).array().made(), 1);
  EXPECT_EQ(Get(id).array().failed(), 0);
  ASSERT_TRUE(Make(id, 9).ok());
  EXPECT_THAT(Indices(id), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8));
}

TEST_F(StoredArray, WhatIsRefusedIsNotWritten) {
  Open();
  const std::string id = Add(3);
  EXPECT_FALSE(
      store_
          ->UpdateArray(id,
                        [&](ArrayWithTasks& change) {
                          jobs::MakeTasks(2, absl::Now(), jobs::NewJobId, change).IgnoreError();
                          return absl::AbortedError("no");
                        })
          .ok());
  EXPECT_THAT(Indices(id), ElementsAre());
  EXPECT_EQ(Get(id).array().made(), 0);
}

TEST_F(StoredArray, ADatabaseThatLostTasksGetsThemFromTheJournalAndMakesNoneTwice) {
  Open();
  const std::string id = Add(4);
  ASSERT_TRUE(Make(id, 1).ok());
  Keep();
  ASSERT_TRUE(Make(id, 2).ok());
  jobs::JobFilter tasks;
  tasks.array = id;
  Move(store_->List(tasks, 1, "")->jobs[0].id, Job::STARTING);
  PutBack();
  Open();
  EXPECT_THAT(Indices(id), ElementsAre(0, 1, 2));
  EXPECT_EQ(Get(id).array().made(), 3);
  EXPECT_EQ(Get(id).array().running(), 1);
  EXPECT_EQ(Get(id).array().queued(), 2);
  ASSERT_TRUE(Make(id, 9).ok());
  EXPECT_THAT(Indices(id), ElementsAre(0, 1, 2, 3));
}

TEST_F(StoredArray, ATaskOfWhichNothingIsLeftIsNotMadeAgain) {
  Open();
  const std::string id = Add(3);
  ASSERT_TRUE(Make(id, 2).ok());
  store_.reset();
  {
    SQLite::Database database(database_, SQLite::OPEN_READWRITE);
    database.exec("DELETE FROM job WHERE array_index = 0");
  }
  fs::remove(JournalPath(database_));
  Open();
  EXPECT_EQ(Get(id).array().failed(), 1);
  EXPECT_EQ(Get(id).warnings_size(), 1);
  ASSERT_TRUE(Make(id, 5).ok());
  EXPECT_THAT(Indices(id), ElementsAre(1, 2));
}

TEST_F(StoredArray, TheDatabaseItselfRefusesAnIndexASecondTime) {
  Open();
  const std::string id = Add(3);
  ASSERT_TRUE(Make(id, 1).ok());
  const auto again = store_->UpdateArray(id, [&](ArrayWithTasks& change) {
    change.array.public_job.mutable_array()->set_made(0);
    return jobs::MakeTasks(1, absl::Now(), jobs::NewJobId, change);
  });
  EXPECT_FALSE(again.ok());
  EXPECT_THAT(Indices(id), ElementsAre(0));
}

TEST_F(StoredArray, ADatabaseOfTheVersionBeforeIsMigratedWithItsJobs) {
  {
    const Migrations& now = CurrentMigrations();
    auto older = OpenDatabase(database_, false, {now[0], now[1]});
    ASSERT_TRUE(older.ok());
    Job job;
    job.set_name("jobs/oldjob");
    job.set_state(Job::QUEUED);
    const std::string message = job.SerializeAsString();
    SQLite::Statement insert(**older,
                             "INSERT INTO job (id, sequence, owner, state, priority, display_name, "
                             "request_hash, stop_requested, stop_reason, "
                             "stop_grace_seconds, uid, user_set, message) VALUES ('oldjob', 1, "
                             "'ann', 1, 0, '', '', 0, '', 10, 0, '', ?)");
    insert.bind(1, message.data(), static_cast<int>(message.size()));
    insert.exec();
  }
  Open();
  EXPECT_EQ(Get("oldjob").state(), Job::QUEUED);
  int backups = 0;
  for (const auto& entry : fs::directory_iterator(folder_.path()))
    backups += entry.path().string().find(".backup-v2-") != std::string::npos;
  EXPECT_EQ(backups, 1);
  const std::string id = Add(2);
  ASSERT_TRUE(Make(id, 2).ok());
  EXPECT_THAT(Indices(id), ElementsAre(0, 1));
}

TEST_F(StoredArray, TenThousandTasksAreOneRowUntilTheyAreMade) {
  Open();
  const auto begin = std::chrono::steady_clock::now();
  const std::string id = Add(10'000);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(500));
  EXPECT_EQ(store_->ListOpen()->size(), 1u);
  EXPECT_LT(os::ReadFile(JournalPath(database_))->size(), 4096u);
}

}  // namespace
}  // namespace yoke::store
