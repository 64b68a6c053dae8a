// Database and journal together: what one has lost, the other gives back.
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/os/file.h"
#include "server/jobs/ids.h"
#include "server/store/job_store_sqlite.h"
#include "server/store/schema.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/store/kept_database.h"

namespace yoke::store {
namespace {

using jobs::JobRecord;
using jobs::JobStore;
using v1::Job;
namespace fs = std::filesystem;

class Reconciling : public testing::Test {
 protected:
  void Open() {
    store_.reset();
    notes_.clear();
    auto store = OpenJobStore({.path = database_}, &notes_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
  }
  std::string Add(const std::string& request = "") {
    JobRecord job;
    job.id = jobs::NewJobId();
    job.request_id = request;
    job.request_hash = "h";
    job.public_job.set_state(Job::QUEUED);
    job.public_job.set_owner("ann");
    return store_->Create(job)->id;
  }
  void Set(const std::string& id, Job::State state, const std::string& device = "") {
    ASSERT_TRUE(store_
                    ->Update(id,
                             [&](JobRecord& job, JobStore::LeaseChange& leases) {
                               job.public_job.set_state(state);
                               if (device.empty()) return absl::OkStatus();
                               job.public_job.add_attempts()->add_device_uuids(device);
                               leases.take = {device};
                               return absl::OkStatus();
                             })
                    .ok());
  }
  void Keep() { kept_.Keep(); }
  void PutBack() {
    store_.reset();
    kept_.PutBack();
  }

  TempFolder folder_;
  const std::string database_ = folder_.path() + "/yoke.db";
  const KeptDatabase kept_{database_, folder_.path() + "/copy"};
  std::vector<std::string> notes_;
  std::unique_ptr<JobStore> store_;
};

TEST_F(Reconciling, JobsThatTheDatabaseLostComeBackInTheirOrderAndPlaces) {
  Open();
  const std::string first = Add("r1");
  Keep();
  const std::string second = Add("r2"), third = Add();
  PutBack();
  Open();
  const std::vector<JobRecord> open = store_->ListOpen().value();
  ASSERT_EQ(open.size(), 3u);
  EXPECT_EQ(open[0].id, first);
  EXPECT_EQ(open[1].id, second);
  EXPECT_EQ(open[1].sequence, 2);
  EXPECT_EQ(open[2].id, third);
  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_NE(notes_[0].find("lacked 2 job(s)"), std::string::npos) << notes_[0];
  EXPECT_EQ(Add("r2"), second);  // the client that asks again gets the same job
  Open();
  EXPECT_TRUE(notes_.empty());
  EXPECT_EQ(store_->ListOpen()->size(), 3u);
}

TEST_F(Reconciling, LaterStatesAndLeasesComeBackAndEarlierOnesDoNot) {
  Open();
  const std::string ended = Add(), cancelled = Add(), runs = Add(), ahead = Add();
  Set(ended, Job::STARTING, "GPU-1");
  Keep();
  ASSERT_TRUE(store_
                  ->Update(ended,
                           [](JobRecord& job, JobStore::LeaseChange& leases) {
                             job.public_job.set_state(Job::SUCCEEDED);
                             job.public_job.mutable_result()->mutable_train()->set_epochs(7);
                             leases.release = {"GPU-1"};
                             return absl::OkStatus();
                           })
                  .ok());
  Set(cancelled, Job::CANCELLED);
  Set(runs, Job::RUNNING, "GPU-2");
  const int64_t last = store_->last_event_sequence();
  PutBack();
  Open();
  EXPECT_EQ(store_->Get(ended)->public_job.state(), Job::SUCCEEDED);
  EXPECT_EQ(store_->Get(ended)->public_job.result().train().epochs(), 7);
  EXPECT_EQ(store_->Get(cancelled)->public_job.state(), Job::CANCELLED);
  EXPECT_EQ(store_->Get(runs)->public_job.state(), Job::RUNNING);
  EXPECT_EQ(store_->Get(ahead)->public_job.state(), Job::QUEUED);
  ASSERT_EQ(store_->ListLeases()->size(), 1u);
  EXPECT_EQ(store_->ListLeases()->front().device_uuid, "GPU-2");
  EXPECT_EQ(store_->ListLeases()->front().job_id, runs);
  EXPECT_GT(store_->last_event_sequence(), last);  // no change number twice
}

TEST_F(Reconciling, AJournalThatIsGoneIsWrittenFromTheDatabase) {
  Open();
  const std::string id = Add(), ended = Add();
  Set(ended, Job::SUCCEEDED);
  Keep();
  store_.reset();
  fs::remove(JournalPath(database_));
  Open();
  EXPECT_TRUE(notes_.empty());
  store_.reset();
  for (const char* end : {"", "-wal", "-shm"}) fs::remove(database_ + end);
  Open();
  ASSERT_EQ(store_->ListOpen()->size(), 1u);
  EXPECT_EQ(store_->ListOpen()->front().id, id);
}

TEST_F(Reconciling, ADamagedJournalIsSaidAndMended) {
  Open();
  const std::string a = Add(), b = Add(), c = Add();
  store_.reset();
  const std::string path = JournalPath(database_);
  std::string bytes = os::ReadFile(path).value();
  bytes[bytes.find("YJF1", 12) + 40] ^= 1;
  ASSERT_TRUE(os::AtomicWriteFile(path, bytes).ok());
  Open();
  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_NE(notes_[0].find("damaged bytes"), std::string::npos);
  store_.reset();
  for (const char* end : {"", "-wal", "-shm"}) fs::remove(database_ + end);
  Open();
  EXPECT_EQ(store_->ListOpen()->size(), 3u);
}

TEST_F(Reconciling, ADatabaseOfVersionOneIsMigratedAfterABackupAndKeepsItsJobs) {
  {
    auto first = OpenDatabase(database_, false, {CurrentMigrations()[0]});
    ASSERT_TRUE(first.ok()) << first.status();
    Job job;
    job.set_name("jobs/abcdefghijklmnopqrstuvwxyz");
    job.set_state(Job::QUEUED);
    job.set_owner("ann");
    job.set_etag("1");
    SQLite::Statement insert(**first,
                             "INSERT INTO job (id, sequence, owner, state, priority, display_name, "
                             "request_id, request_hash, stop_requested, "
                             "stop_reason, stop_grace_seconds, uid, user_set, message) VALUES "
                             "('abcdefghijklmnopqrstuvwxyz', 1, 'ann', ?, 0, "
                             "'', 'r1', 'h', 0, '', 10, 7, 'data', ?)");
    insert.bind(1, static_cast<int>(Job::QUEUED));
    const std::string message = job.SerializeAsString();
    insert.bind(2, message.data(), static_cast<int>(message.size()));
    insert.exec();
  }
  Open();
  EXPECT_TRUE(notes_.empty());
  EXPECT_EQ(store_->Get("abcdefghijklmnopqrstuvwxyz")->uid, 7);
  EXPECT_EQ(Add("r1"), "abcdefghijklmnopqrstuvwxyz");
  Set("abcdefghijklmnopqrstuvwxyz", Job::CANCELLED);
  Open();
  EXPECT_EQ(store_->Get("abcdefghijklmnopqrstuvwxyz")->public_job.state(), Job::CANCELLED);
  int backups = 0;
  for (const auto& entry : fs::directory_iterator(folder_.path()))
    backups += entry.path().string().find("yoke.db.backup-v1-") != std::string::npos;
  EXPECT_EQ(backups, 1);
}

TEST_F(Reconciling, AJournalThatCannotBeWrittenAcknowledgesNothing) {
  Open();
  Add();
  store_.reset();
  fs::remove(JournalPath(database_));
  fs::create_directory(JournalPath(database_));
  EXPECT_FALSE(OpenJobStore({.path = database_}).ok());
}

}  // namespace
}  // namespace yoke::store
