// Files that grow and appear are heard of, also in folders that come later.
#include "server/streams/folder_watch.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::streams {
namespace {

void Append(const std::string& path) { std::ofstream(path, std::ios::app) << "x\n"; }

// The names that are heard of within `limit_ms`, or until there is one.
std::vector<std::string> Names(FolderWatch& watch, int64_t limit_ms) {
  std::vector<std::string> names;
  const absl::Time deadline = absl::Now() + absl::Milliseconds(limit_ms);
  while (names.empty() && absl::Now() < deadline) {
    for (const FolderChange& change : watch.Wait(limit_ms)) names.push_back(change.name);
  }
  return names;
}

TEST(FolderWatch, HearsOfFilesThatAppearAndGrow) {
  const TempFolder folder;
  FolderWatch watch;
  watch.Add(folder.path());
  Names(watch, 1);
  Append(folder.path() + "/a");
  EXPECT_EQ(Names(watch, 5000), std::vector<std::string>({"a"}));
  std::thread later([&] {
    absl::SleepFor(absl::Milliseconds(50));
    Append(folder.path() + "/a");
  });
  const absl::Time begin = absl::Now();
  EXPECT_EQ(Names(watch, 5000), std::vector<std::string>({"a"}));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(4));
  later.join();
  EXPECT_TRUE(Names(watch, 100).empty());
}

TEST(FolderWatch, LooksAtAFolderUntilItIsThereAndAfterItIsGone) {
  const TempFolder folder;
  const std::string inner = folder.path() + "/inner";
  FolderWatch watch;
  watch.Add(inner);
  EXPECT_EQ(Names(watch, 5000), std::vector<std::string>({""}));
  ASSERT_EQ(mkdir(inner.c_str(), 0700), 0);
  Names(watch, 5000);
  Append(inner + "/b");
  EXPECT_EQ(Names(watch, 5000), std::vector<std::string>({"b"}));
  std::filesystem::remove_all(inner);
  EXPECT_EQ(Names(watch, 5000), std::vector<std::string>({""}));
}

TEST(FolderWatch, IsSilentAboutWhatWasRemovedAndCanBeInterrupted) {
  const TempFolder folder;
  FolderWatch watch;
  watch.Add(folder.path());
  watch.Remove(folder.path());
  Append(folder.path() + "/a");
  watch.Interrupt();
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(watch.Wait(10'000).empty());
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
}

}  // namespace
}  // namespace yoke::streams
