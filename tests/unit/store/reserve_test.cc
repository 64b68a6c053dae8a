#include "server/store/reserve.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "common/os/file.h"
#include "tests/support/temp_folder.h"

namespace yoke::store {
namespace {

TEST(Reserve, KeepsItsRoomGivesItAwayOnceAndTakesItBack) {
  const TempFolder folder;
  const std::string path = folder / "reserve";
  Reserve reserve(path, 1 << 20);
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_GE(info.st_blocks * 512, 1 << 20);
  EXPECT_TRUE(reserve.Check().ok());
  EXPECT_TRUE(reserve.Release());
  EXPECT_FALSE(os::FileExists(path));
  EXPECT_FALSE(reserve.Release());
  EXPECT_EQ(reserve.Check().code(), absl::StatusCode::kResourceExhausted);  // not so soon
  const Reserve again(path, 1 << 20);
  EXPECT_TRUE(os::FileExists(path));
}

TEST(Reserve, OfADiskThatHasNoRoomIsMissedButNoError) {
  const TempFolder folder;
  Reserve reserve(folder / "no-such-folder/reserve", 1 << 20);
  EXPECT_TRUE(reserve.Check().ok() || absl::IsResourceExhausted(reserve.Check()));
}

}  // namespace
}  // namespace yoke::store
