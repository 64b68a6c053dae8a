// Logs that grow: when each was how long, and what is given up of one that is too long.
#include "server/shim/log_keeper.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "common/ipc/log_times.h"
#include "common/os/clock.h"
#include "common/os/file.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::shim {
namespace {

constexpr int64_t kMiB = 1 << 20;

void Append(const std::string& path, int64_t bytes) {
  std::ofstream(path, std::ios::app) << std::string(static_cast<size_t>(bytes), 'x');
}

struct stat StatOf(const std::string& path) {
  struct stat info = {};
  stat(path.c_str(), &info);
  return info;
}

TEST(LogKeeper, LooksOnceASecondAndNotesNothingOfAnEmptyLog) {
  const TempFolder folder;
  const std::string log = folder / "rank0.log";
  LogKeeper keeper({log}, 0);
  keeper.Look();
  Append(log, 100);
  keeper.Look();  // too soon
  EXPECT_FALSE(os::FileExists(log + ".times"));
  usleep(1'050'000);
  keeper.Look();
  EXPECT_EQ(os::ReadFile(log + ".times")->size(), 2 * ipc::LogTimesLine(0, 0).size());
}

TEST(LogKeeper, KnowsThatALogWasEmptyBeforeTheFirstLook) {
  const TempFolder folder;
  const std::string log = folder / "rank0.log";
  LogKeeper keeper({log}, 0);
  Append(log, 100);
  keeper.Look();
  const std::string times = *os::ReadFile(log + ".times");
  EXPECT_EQ(ipc::LengthAfter(times, 0), 0);
  EXPECT_EQ(ipc::LengthAt(times, static_cast<int64_t>(os::EpochSeconds() * 1000)), 100);
}

TEST(LogKeeper, GivesUpTheOldestPartOfALogThatIsTooLong) {
  const TempFolder folder;
  const std::string log = folder / "rank0.log", other = folder / "rank1.log";
  Append(log, 5 * kMiB);
  Append(other, kMiB);
  LogKeeper({log, other}, 2 * kMiB).Look();
  EXPECT_EQ(StatOf(log).st_size, 5 * kMiB);
  const int64_t kept = StatOf(log).st_blocks * 512;
  if (kept > 4 * kMiB) GTEST_SKIP() << "the file system has no holes";
  EXPECT_LE(kept, 2 * kMiB);
  EXPECT_GE(kept, kMiB);
  EXPECT_GE(StatOf(other).st_blocks * 512, kMiB);
  EXPECT_EQ(os::ReadTail(log, kMiB).value(), std::string(kMiB, 'x'));
}

}  // namespace
}  // namespace yoke::shim
