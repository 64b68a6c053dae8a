// Readers are woken by what they wait for, whenever they begin to wait; and whoever was not is
// found, and counted.
#include "server/streams/pump.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/os/clock.h"
#include "common/os/unique_fd.h"
#include "gtest/gtest.h"
#include "server/store/job_store_sqlite.h"
#include "tests/support/temp_folder.h"

namespace yoke::streams {
namespace {

int64_t SizeOf(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_size : 0;
}

// Sees how long a file is, until it was told to go.
class Reader : public Tailer {
 public:
  Reader(std::string folder, std::string path) : folder_(std::move(folder)), path_(std::move(path)) {}

  Wait TakeTurn() override {
    if (going_) return {.kind = Wait::Kind::kGone};
    const int64_t size = SizeOf(path_);
    Wait wait;
    wait.job = "jobs/none";
    wait.folder = folder_;
    wait.suffix = ".log";
    wait.found = size > seen_;
    seen_ = size;
    return wait;
  }
  void JobChanged() override {}

  void Go() { going_ = true; }
  // Milliseconds until so much is seen.
  int64_t CatchUp(int64_t size) const {
    const int64_t began = os::BootMilliseconds();
    while (seen_ < size && os::BootMilliseconds() < began + 10'000)
      absl::SleepFor(absl::Milliseconds(1));
    return os::BootMilliseconds() - began;
  }

 private:
  const std::string folder_, path_;
  std::atomic<bool> going_ = false;
  std::atomic<int64_t> seen_ = 0;
};

class Readers : public testing::Test {
 protected:
  Readers() {
    store::StoreOptions options;
    options.path = folder_ / "yoke.db";
    store_ = *store::OpenJobStore(options);
    for (const std::string& place : {logs_, elsewhere_}) mkdir(place.c_str(), 0700);
    pump_ = std::make_unique<Pump>(*store_);
  }

  std::shared_ptr<Reader> Add(const std::string& folder, const std::string& path) {
    auto reader = std::make_shared<Reader>(folder, path);
    EXPECT_TRUE(pump_->Add(reader));
    return reader;
  }
  // Returns how long the file is then.
  static int64_t Append(const std::string& path) {
    const os::UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    EXPECT_EQ(write(fd.get(), "line\n", 5), 5);
    return SizeOf(path);
  }

  TempFolder folder_;
  const std::string logs_ = folder_ / "logs", elsewhere_ = folder_ / "elsewhere";
  std::unique_ptr<jobs::JobStore> store_;
  std::unique_ptr<Pump> pump_;
};

TEST_F(Readers, AreWokenByTheirFile) {
  const std::string log = logs_ + "/rank0.log";
  const auto reader = Add(logs_, log);
  int64_t slowest = 0;
  for (int line = 0; line < 40; ++line) {
    absl::SleepFor(absl::Milliseconds(line * 2));
    slowest = std::max(slowest, reader->CatchUp(Append(log)));
  }
  EXPECT_LT(slowest, 700) << "milliseconds; whoever is not woken needs more";
  EXPECT_EQ(pump_->late_finds(), 0);
}

TEST_F(Readers, WhoAreNotWokenAreLookedAtWithinASecondAndCounted) {
  // What is written by another name of the file the watch of its folder does not see.
  const std::string log = logs_ + "/rank0.log", other_name = elsewhere_ + "/rank0.log";
  const int64_t first = Append(log);
  ASSERT_EQ(link(log.c_str(), other_name.c_str()), 0);
  const auto reader = Add(logs_, log);
  ASSERT_LT(reader->CatchUp(first), 2500);
  absl::SleepFor(absl::Milliseconds(1200));  // it is looked at once because it is new
  EXPECT_EQ(pump_->late_finds(), 0);
  EXPECT_LT(reader->CatchUp(Append(other_name)), 2500);
  const int64_t deadline = os::BootMilliseconds() + 10'000;
  while (pump_->late_finds() == 0 && os::BootMilliseconds() < deadline)
    absl::SleepFor(absl::Milliseconds(20));
  EXPECT_EQ(pump_->late_finds(), 1);
}

TEST_F(Readers, ThatComeAndGoWhileLinesAreWrittenMissNone) {
  const std::string log = logs_ + "/rank0.log";
  std::atomic<bool> done = false;
  std::atomic<int64_t> written = 0;
  // 2,000 lines a second for a while, then one now and then, and so on.
  std::thread writer([&] {
    while (!done) {
      for (int line = 0; line < 400 && !done; ++line) {
        written = Append(log);
        absl::SleepFor(absl::Microseconds(400));
      }
      for (int line = 0; line < 5 && !done; ++line) {
        absl::SleepFor(absl::Milliseconds(70));
        written = Append(log);
      }
    }
  });
  while (written == 0) absl::SleepFor(absl::Milliseconds(1));  // without lines nobody waits for any
  std::list<std::shared_ptr<Reader>> readers;
  int64_t slowest = 0;
  int begun = 0;
  const int64_t end = os::BootMilliseconds() + 6000;
  while (os::BootMilliseconds() < end) {
    readers.push_back(Add(logs_, log));
    ++begun;
    for (const auto& reader : readers) slowest = std::max(slowest, reader->CatchUp(written));
    // All of them go now and then: the next one begins a watch of its own.
    const size_t stay = static_cast<size_t>(begun % 7);
    while (readers.size() > stay) {
      readers.front()->Go();
      pump_->Wake(readers.front().get());
      readers.pop_front();
    }
  }
  done = true;
  writer.join();
  const auto last = Add(logs_, log);
  last->CatchUp(written);
  absl::SleepFor(absl::Milliseconds(2500));  // what was found by looking would be counted by now
  EXPECT_GT(begun, 100);
  EXPECT_LT(slowest, 700) << "milliseconds";
  EXPECT_EQ(pump_->late_finds(), 0) << begun << " readers";
}

}  // namespace
}  // namespace yoke::streams
