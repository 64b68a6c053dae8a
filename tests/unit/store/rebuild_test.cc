// Databases damaged in every way that was thought of: none may cost an accepted job.
#include "server/store/rebuild.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "absl/strings/str_cat.h"
#include "common/os/file.h"
#include "server/jobs/ids.h"
#include "server/store/backup.h"
#include "server/store/job_store_sqlite.h"
#include "tests/support/temp_folder.h"

namespace yoke::store {
namespace {

using jobs::JobRecord;
using jobs::JobStore;
using v1::Job;
namespace fs = std::filesystem;

constexpr int kJobs = 60;

class Damaged : public testing::Test {
 protected:
  void SetUp() override {
    Open();
    for (int i = 0; i < kJobs; ++i) {
      JobRecord job;
      job.id = jobs::NewJobId();
      job.public_job.set_state(Job::QUEUED);
      job.public_job.set_owner("ann");
      job.public_job.set_display_name(std::string(300, static_cast<char>('a' + i % 26)));
      ids_.push_back(store_->Create(job)->id);
    }
    for (int i = 0; i < kJobs; i += 3) Set(ids_[i], i % 2 == 0 ? Job::CANCELLED : Job::SUCCEEDED);
    Set(ids_[1], Job::HELD);
    for (const std::string& id : ids_) states_.push_back(store_->Get(id)->public_job.state());
  }
  void Set(const std::string& id, Job::State state) {
    ASSERT_TRUE(store_
                    ->Update(id,
                             [state](JobRecord& job, JobStore::LeaseChange&) {
                               job.public_job.set_state(state);
                               return absl::OkStatus();
                             })
                    .ok());
  }
  void Open() {
    store_.reset();
    notes_.clear();
    auto store =
        OpenJobStore({.path = path_, .must_exist = os::FileExists(JournalPath(path_))}, &notes_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
  }
  // Without a checkpoint, as a crash leaves it.
  void Crash() {
    const std::string keep = folder_.path() + "/keep";
    fs::create_directory(keep);
    for (const char* end : {"", "-wal", "-shm"}) {
      if (fs::exists(path_ + end)) fs::copy_file(path_ + end, keep + "/db" + end);
    }
    store_.reset();
    for (const char* end : {"", "-wal", "-shm"}) {
      fs::remove(path_ + end);
      if (fs::exists(keep + "/db" + end)) fs::copy_file(keep + "/db" + end, path_ + end);
    }
  }
  void Edit(const std::string& file, const std::function<void(std::string&)>& edit) {
    std::string bytes = os::ReadFile(file).value();
    edit(bytes);
    ASSERT_TRUE(os::AtomicWriteFile(file, bytes).ok());
  }
  void ExpectAllThere() {
    ASSERT_NE(store_, nullptr);
    ASSERT_EQ(store_->List({}, 1000, "")->jobs.size(), ids_.size());
    for (size_t i = 0; i < ids_.size(); ++i) {
      const auto job = store_->Get(ids_[i]);
      ASSERT_TRUE(job.ok()) << i << ": " << job.status();
      EXPECT_EQ(job->public_job.state(), states_[i]) << i;
      EXPECT_EQ(job->sequence, static_cast<int64_t>(i) + 1);
    }
  }
  void ExpectRebuilt() {
    Open();
    ExpectAllThere();
    ASSERT_EQ(notes_.size(), 1u);
    EXPECT_NE(notes_[0].find("made anew with 60 job(s)"), std::string::npos) << notes_[0];
    Open();
    EXPECT_TRUE(notes_.empty());  // mended for good
    ExpectAllThere();
  }

  TempFolder folder_;
  const std::string path_ = folder_.path() + "/yoke.db";
  std::vector<std::string> notes_, ids_;
  std::vector<Job::State> states_;
  std::unique_ptr<JobStore> store_;
};

TEST_F(Damaged, FlippedBytesInPageOne) {
  store_.reset();
  for (const size_t at : {0, 16, 18, 60, 100, 103, 108}) {
    const std::string whole = os::ReadFile(path_).value();
    Edit(path_, [at](std::string& bytes) { bytes[at] = static_cast<char>(bytes[at] ^ 0x5a); });
    ASSERT_NO_FATAL_FAILURE(ExpectRebuilt()) << at;
    store_.reset();
    EXPECT_FALSE(DamagedCopies(path_).empty());
    for (const std::string& copy : DamagedCopies(path_)) fs::remove(copy);
    ASSERT_TRUE(os::AtomicWriteFile(path_, whole).ok());
  }
}

TEST_F(Damaged, FlippedBytesAnywhereAreFoundOrHarmless) {
  store_.reset();
  const std::string whole = os::ReadFile(path_).value();
  int rebuilt = 0;
  for (size_t at = 4096 + 7; at < whole.size(); at += 1499) {
    Edit(path_, [at](std::string& bytes) { bytes[at] = static_cast<char>(bytes[at] ^ 0x11); });
    Open();
    rebuilt += static_cast<int>(notes_.size());
    ASSERT_NO_FATAL_FAILURE(ExpectAllThere()) << at;
    store_.reset();
    for (const std::string& copy : DamagedCopies(path_)) fs::remove(copy);
    ASSERT_TRUE(os::AtomicWriteFile(path_, whole).ok());
  }
  EXPECT_GT(rebuilt, 3);
}

TEST_F(Damaged, AFileThatIsCutShort) {
  store_.reset();
  for (const size_t size : {size_t{1}, size_t{100}, size_t{4096}, size_t{20000}}) {
    const std::string whole = os::ReadFile(path_).value();
    Edit(path_, [size](std::string& bytes) { bytes.resize(size); });
    ASSERT_NO_FATAL_FAILURE(ExpectRebuilt()) << size;
    store_.reset();
    ASSERT_TRUE(os::AtomicWriteFile(path_, whole).ok());
  }
}

TEST_F(Damaged, AFileOfLengthZeroOrNoneAtAll) {
  store_.reset();
  Edit(path_, [](std::string& bytes) { bytes.clear(); });
  ASSERT_NO_FATAL_FAILURE(ExpectRebuilt());
  store_.reset();
  fs::remove(path_);
  ASSERT_NO_FATAL_FAILURE(ExpectRebuilt());
}

TEST_F(Damaged, ALogThatIsGoneTornOrGarbled) {
  Crash();
  const std::string log = os::ReadFile(path_ + "-wal").value(), whole = os::ReadFile(path_).value();
  ASSERT_GT(log.size(), 50'000u);
  for (const size_t size :
       {size_t{0}, size_t{31}, log.size() / 2, log.size() - 1, log.size() - 5000}) {
    ASSERT_TRUE(os::AtomicWriteFile(path_ + "-wal", log.substr(0, size)).ok());
    Open();
    ASSERT_NO_FATAL_FAILURE(ExpectAllThere()) << size;
    store_.reset();
    for (const char* end : {"-wal", "-shm"}) fs::remove(path_ + end);
    ASSERT_TRUE(os::AtomicWriteFile(path_, whole).ok());
  }
  std::string garbled = log;
  for (size_t i = 40'000; i < 41'000; ++i) garbled[i] = 'x';
  ASSERT_TRUE(os::AtomicWriteFile(path_ + "-wal", garbled).ok());
  Open();
  ExpectAllThere();
}

TEST_F(Damaged, AnIndexOfTheLogFromAnotherTime) {
  Crash();
  ASSERT_TRUE(os::AtomicWriteFile(path_ + "-shm", std::string(32768, 'x')).ok());
  Open();
  ExpectAllThere();
  EXPECT_TRUE(notes_.empty());
}

TEST_F(Damaged, WithoutAJournalItsReadableRowsAndTheBackupGiveTheJobsBack) {
  ASSERT_TRUE(BackUpAutomatically(path_, 1'700'000'000).ok());
  Set(ids_[2], Job::CANCELLED);
  states_[2] = Job::CANCELLED;
  store_.reset();
  fs::remove(JournalPath(path_));
  const std::string whole = os::ReadFile(path_).value();
  // A record's bytes: only that one is lost to the file, and the backup has it.
  Edit(path_, [&](std::string& bytes) { bytes[bytes.find(std::string(60, 'f')) + 30] = '!'; });
  auto store = OpenJobStore({.path = path_, .must_exist = true}, &notes_);
  ASSERT_TRUE(store.ok()) << store.status();
  store_ = std::move(*store);
  ExpectAllThere();
}

TEST_F(Damaged, ANewerVersionIsRefusedAndLeftAsItIs) {
  store_.reset();
  Edit(path_, [](std::string& bytes) { bytes[63] = 99; });
  const std::string before = os::ReadFile(path_).value(),
                    journal = os::ReadFile(JournalPath(path_)).value();
  EXPECT_EQ(OpenJobStore({.path = path_, .must_exist = true}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(os::ReadFile(path_).value(), before);
  EXPECT_EQ(os::ReadFile(JournalPath(path_)).value(), journal);
  EXPECT_TRUE(DamagedCopies(path_).empty());
}

TEST_F(Damaged, ACrashWhileItIsMadeAnewIsMendedByTheNextStart) {
  store_.reset();
  fs::remove(JournalPath(path_));
  // The old file was moved, the new one not named yet.
  fs::rename(path_, path_ + ".damaged-20240101T000000Z");
  ASSERT_TRUE(os::AtomicWriteFile(path_ + ".new", "half of it").ok());
  auto store = OpenJobStore({.path = path_, .must_exist = true, .jobs_elsewhere = true}, &notes_);
  ASSERT_TRUE(store.ok()) << store.status();
  store_ = std::move(*store);
  ExpectAllThere();
}

}  // namespace
}  // namespace yoke::store
