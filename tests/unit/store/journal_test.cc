#include "server/store/journal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/os/file.h"
#include "tests/support/temp_folder.h"

namespace yoke::store {
namespace {

using v1::Job;

TEST(Crc32cOfTheStandard, EqualsItsCheckValue) {
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c("6789", Crc32c("12345")), 0xE3069283u);
  // By table and by whatever this processor has, for every length and place.
  std::string bytes;
  for (int i = 0; i < 64; ++i) bytes.push_back(static_cast<char>(i * 37));
  for (size_t begin = 0; begin < bytes.size(); ++begin) {
    const std::string_view part = std::string_view(bytes).substr(begin);
    EXPECT_EQ(Crc32c(part, 7), ~internal::Crc32cByTable(part, ~uint32_t{7})) << begin;
  }
}

class JournalFile : public testing::Test {
 protected:
  static jobs::JobRecord Record(int number, Job::State state = Job::QUEUED) {
    jobs::JobRecord job;
    job.id = absl::StrCat("job", number);
    job.sequence = number;
    job.user_set = {"data", "batch"};
    job.request_id = absl::StrCat("request", number);
    job.request_hash = "h";
    job.uid = 7;
    job.public_job.set_state(state);
    job.public_job.set_owner("ann");
    job.public_job.set_display_name(std::string(200, 'n'));
    return job;
  }
  Journal::Opened Open() { return std::move(Journal::Open(path_).value()); }
  void Write(int from, int to) {
    const Journal::Opened opened = Open();
    for (int i = from; i <= to; ++i) {
      opened.journal->Add(Record(i));
      ASSERT_TRUE(opened.journal->Flush().ok());
      opened.journal->Keep();
      ASSERT_TRUE(opened.journal->Sync().ok());
    }
  }
  int64_t Size() {
    struct stat info = {};
    stat(path_.c_str(), &info);
    return info.st_size;
  }
  std::string Bytes() { return os::ReadFile(path_).value(); }

  TempFolder folder_;
  std::string path_ = folder_.path() + "/submissions.journal";
};

TEST_F(JournalFile, SaysEverythingOfAJobAndTheNewestRecordCounts) {
  {
    Journal::Opened opened = Open();
    EXPECT_TRUE(opened.created);
    jobs::JobRecord job = Record(1);
    opened.journal->Add(job);
    opened.journal->Add(Record(2));
    job.stop_requested = true;
    job.stop_reason = "cancel";
    job.stop_grace_seconds = 3;
    job.public_job.set_state(Job::CANCELLED);
    opened.journal->Add(job);
    ASSERT_TRUE(opened.journal->Flush().ok());
    opened.journal->Keep();
  }
  const Journal::Opened again = Open();
  EXPECT_FALSE(again.created);
  EXPECT_EQ(again.bytes_cut + again.bytes_skipped, 0);
  ASSERT_EQ(again.jobs.size(), 2u);
  const jobs::JobRecord& job = again.jobs[0];
  EXPECT_EQ(job.id, "job1");
  EXPECT_EQ(job.sequence, 1);
  EXPECT_EQ(job.user_set, (std::vector<std::string>{"data", "batch"}));
  EXPECT_EQ(job.request_id, "request1");
  EXPECT_EQ(job.request_hash, "h");
  EXPECT_EQ(job.uid, 7);
  EXPECT_TRUE(job.stop_requested);
  EXPECT_EQ(job.stop_reason, "cancel");
  EXPECT_EQ(job.stop_grace_seconds, 3);
  EXPECT_EQ(job.public_job.state(), Job::CANCELLED);
  EXPECT_EQ(again.jobs[1].public_job.state(), Job::QUEUED);
}

TEST_F(JournalFile, WhatTheDatabaseDidNotCommitIsTakenBack) {
  const Journal::Opened opened = Open();
  opened.journal->Add(Record(1));
  ASSERT_TRUE(opened.journal->Flush().ok());
  opened.journal->Keep();
  const int64_t kept = Size();
  opened.journal->Add(Record(2));
  ASSERT_TRUE(opened.journal->Flush().ok());
  EXPECT_GT(Size(), kept);
  opened.journal->Undo();
  EXPECT_EQ(Size(), kept);
  opened.journal->Add(Record(3));
  opened.journal->Undo();  // never flushed
  opened.journal->Add(Record(4));
  ASSERT_TRUE(opened.journal->Flush().ok());
  opened.journal->Keep();
  const Journal::Opened again = Open();
  ASSERT_EQ(again.jobs.size(), 2u);
  EXPECT_EQ(again.jobs[1].id, "job4");
}

TEST_F(JournalFile, AWriteThatFailsHalfwayLeavesNothingOfItself) {
  Write(1, 1);
  const Journal::Opened opened = Open();
  const int64_t before = Size();
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit tight = {static_cast<rlim_t>(before + 100), limit.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  opened.journal->Add(Record(2));
  const absl::Status refused = opened.journal->Flush();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_FALSE(refused.ok());
  EXPECT_EQ(Size(), before);
  opened.journal->Undo();
  opened.journal->Add(Record(3));
  ASSERT_TRUE(opened.journal->Flush().ok());
  opened.journal->Keep();
  const Journal::Opened again = Open();
  ASSERT_EQ(again.jobs.size(), 2u);
  EXPECT_EQ(again.jobs[1].id, "job3");
}

TEST_F(JournalFile, ATornEndIsCutWhereverItWasTornAndWritingGoesOn) {
  Write(1, 2);
  const int64_t two = Size();
  Write(3, 3);
  const std::string whole = Bytes();
  for (int64_t size = two; size < static_cast<int64_t>(whole.size()); size += 7) {
    ASSERT_TRUE(os::AtomicWriteFile(path_, whole.substr(0, static_cast<size_t>(size))).ok());
    {
      const Journal::Opened opened = Open();
      ASSERT_EQ(opened.jobs.size(), 2u) << size;
      ASSERT_EQ(opened.bytes_cut, size - two);
      ASSERT_EQ(Size(), two);
      opened.journal->Add(Record(9));
      ASSERT_TRUE(opened.journal->Flush().ok());
      opened.journal->Keep();
    }
    ASSERT_EQ(Open().jobs.size(), 3u);
  }
}

TEST_F(JournalFile, AGroupThatWasTornInItsMiddleIsCutAsAWhole) {
  Write(1, 2);
  const size_t two = static_cast<size_t>(Size());
  {
    const Journal::Opened opened = Open();
    for (int i = 3; i <= 6; ++i) opened.journal->Add(Record(i));
    ASSERT_TRUE(opened.journal->Flush().ok());
    opened.journal->Keep();
  }
  std::string torn = Bytes();
  const size_t fourth = torn.find("YJM1", two);
  std::fill(torn.begin() + static_cast<std::ptrdiff_t>(fourth),
            torn.begin() + static_cast<std::ptrdiff_t>(fourth) + 100, '\0');
  ASSERT_TRUE(os::AtomicWriteFile(path_, torn).ok());
  const Journal::Opened opened = Open();
  EXPECT_EQ(opened.jobs.size(), 3u);  // the group's first frame is whole
  EXPECT_EQ(opened.bytes_skipped, 0);
  EXPECT_EQ(Size(), static_cast<int64_t>(fourth));
  EXPECT_FALSE(opened.journal->WantsRewrite());
}

TEST_F(JournalFile, ABatchCountsAsAWholeWhereverItWasTorn) {
  Write(1, 2);
  const size_t two = static_cast<size_t>(Size());
  {
    const Journal::Opened opened = Open();
    opened.journal->Add(Record(3));
    for (int i = 4; i <= 7; ++i) opened.journal->Add(Record(i), static_cast<size_t>(7 - i));
    ASSERT_TRUE(opened.journal->Flush().ok());
    opened.journal->Keep();
  }
  const std::string whole = Bytes();
  const size_t three = whole.find("YJM1", two);
  for (size_t size = two; size < whole.size(); size += 11) {
    ASSERT_TRUE(os::AtomicWriteFile(path_, whole.substr(0, size)).ok());
    ASSERT_EQ(Open().jobs.size(), size < three ? 2u : 3u) << size;
    Write(9, 9);  // goes on behind what is whole
    ASSERT_EQ(Open().jobs.size(), size < three ? 3u : 4u) << size;
  }
  ASSERT_TRUE(os::AtomicWriteFile(path_, whole).ok());
  EXPECT_EQ(Open().jobs.size(), 7u);
}

// Two groups were written before a power cut and neither was synced: the disk may have the later one alone.
TEST_F(JournalFile, WhatWasTornBeforeALaterGroupIsNoDamageAndItsBatchDoesNotCount) {
  for (const bool synced : {false, true}) {
    std::filesystem::remove(path_);
    Write(1, 2);
    {
      const Journal::Opened opened = Open();
      for (int i = 3; i <= 6; ++i) opened.journal->Add(Record(i), static_cast<size_t>(6 - i));
      ASSERT_TRUE(opened.journal->Flush().ok());
      opened.journal->Keep();
      if (synced) {
        ASSERT_TRUE(opened.journal->Sync().ok());
      }
      opened.journal->Add(Record(7));
      ASSERT_TRUE(opened.journal->Flush().ok());
      opened.journal->Keep();
    }
    const std::string whole = Bytes();
    for (const int lost : {3, 4, 6}) {
      std::string torn = whole;
      const size_t at = torn.find(absl::StrCat("request", lost));
      std::fill_n(torn.begin() + static_cast<std::ptrdiff_t>(at), 8, '\0');
      ASSERT_TRUE(os::AtomicWriteFile(path_, torn).ok());
      const Journal::Opened opened = Open();
      EXPECT_EQ(opened.jobs.size(), synced ? 6u : 3u) << lost;
      EXPECT_EQ(opened.jobs.back().id, "job7");
      EXPECT_EQ(opened.bytes_skipped > 0, synced);
      EXPECT_EQ(opened.bytes_cut > 0, !synced);
      EXPECT_TRUE(opened.journal->WantsRewrite());
    }
  }
}

TEST_F(JournalFile, ADamagedRecordLosesItselfOnlyAndTheFileWantsToBeWrittenAnew) {
  Write(1, 3);
  const std::string whole = Bytes();
  const size_t second = whole.find("YJF1", 12);
  for (const size_t at : {second + 1, second + 5, second + 9, second + 17, second + 60}) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
    ASSERT_TRUE(os::AtomicWriteFile(path_, damaged).ok());
    const Journal::Opened opened = Open();
    ASSERT_EQ(opened.jobs.size(), 2u) << at;
    EXPECT_EQ(opened.jobs[0].id, "job1");
    EXPECT_EQ(opened.jobs[1].id, "job3");
    EXPECT_GT(opened.bytes_skipped, 0);
    EXPECT_TRUE(opened.journal->WantsRewrite());
    opened.journal->Add(Record(4));
    EXPECT_EQ(opened.journal->Flush().code(), absl::StatusCode::kUnavailable);
    ASSERT_TRUE(opened.journal->Rewrite(opened.jobs).ok());
    EXPECT_FALSE(opened.journal->WantsRewrite());
    EXPECT_EQ(Open().jobs.size(), 2u);
  }
}

TEST_F(JournalFile, GarbageAndEmptinessAreAnEmptyJournalThatWantsToBeWrittenAnew) {
  for (const std::string& bytes : {std::string(), std::string("YOKE"), std::string(5000, 'x'),
                                   std::string("YOKEJRN1YJF1\xff\xff\xff\xff", 16)}) {
    ASSERT_TRUE(os::AtomicWriteFile(path_, bytes).ok());
    const Journal::Opened opened = Open();
    EXPECT_TRUE(opened.jobs.empty());
    EXPECT_EQ(opened.journal->WantsRewrite(), bytes.size() < 8 || bytes[0] == 'x');
    ASSERT_TRUE(opened.journal->Rewrite({Record(1)}).ok());
    EXPECT_EQ(Open().jobs.size(), 1u);
  }
}

TEST_F(JournalFile, JobsThatEndedMakeItWantARewriteAndOpenOnesDoNot) {
  const Journal::Opened opened = Open();
  std::vector<jobs::JobRecord> open;
  for (int i = 1; i <= 20'000; ++i) {
    open.push_back(Record(i));
    opened.journal->Add(open.back());
  }
  ASSERT_TRUE(opened.journal->Flush().ok());
  opened.journal->Keep();
  EXPECT_GT(Size(), 5 << 20);
  EXPECT_FALSE(opened.journal->WantsRewrite());
  for (int i = 101; i <= 20'000; ++i) opened.journal->Add(Record(i, Job::SUCCEEDED));
  ASSERT_TRUE(opened.journal->Flush().ok());
  opened.journal->Keep();
  EXPECT_TRUE(opened.journal->WantsRewrite());
  open.resize(100);
  ASSERT_TRUE(opened.journal->Rewrite(open).ok());
  EXPECT_LT(Size(), 1 << 20);
  EXPECT_FALSE(opened.journal->WantsRewrite());
  EXPECT_EQ(Open().jobs.size(), 100u);
}

TEST_F(JournalFile, ALaterNumberNeverComesTwice) {
  Write(1, 3);
  const Journal::Opened opened = Open();
  const size_t end = static_cast<size_t>(Size());
  opened.journal->Add(Record(4));
  ASSERT_TRUE(opened.journal->Flush().ok());
  EXPECT_EQ(static_cast<unsigned char>(Bytes()[end + 8]), 4);
}

}  // namespace
}  // namespace yoke::store
