// Reading a file that grows, was cut, or has given up its oldest bytes.
#include "server/streams/tailed_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include "common/os/file.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::streams {
namespace {

class Tailed : public testing::Test {
 protected:
  void Append(const std::string& bytes) {
    std::ofstream(path_, std::ios::app | std::ios::binary) << bytes;
  }
  void GiveUp(int64_t to) {
    const auto fd = os::Open(path_, O_WRONLY);
    ASSERT_TRUE(fd.ok());
    if (fallocate(fd->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, to) != 0)
      GTEST_SKIP() << "the file system has no holes";
  }

  TempFolder folder_;
  const std::string path_ = folder_.path() + "/log";
  TailedFile file_{path_};
};

TEST_F(Tailed, IsEmptyUntilItIsThere) {
  EXPECT_EQ(file_.ReadPiece(0, 100)->bytes, "");
  Append("abc");
  EXPECT_EQ(file_.ReadPiece(0, 100)->bytes, "abc");
  EXPECT_EQ(file_.ReadPiece(2, 100)->bytes, "c");
  EXPECT_EQ(file_.ReadPiece(3, 100)->bytes, "");
  EXPECT_EQ(file_.ReadPiece(3, 100)->gap_to, 3);
}

TEST_F(Tailed, WhatWasCutOffIsAGapBackwards) {
  Append("abcdef");
  ASSERT_EQ(truncate(path_.c_str(), 2), 0);
  EXPECT_EQ(file_.ReadPiece(6, 100)->gap_to, 2);
}

TEST_F(Tailed, WhatWasGivenUpIsAGapAndTheRestStaysWhereItIs) {
  Append(std::string(200'000, 'a') + "end");
  GiveUp(131072);
  const auto gap = file_.ReadPiece(1000, 65536);
  EXPECT_EQ(gap->bytes, "");
  EXPECT_EQ(gap->gap_to, 131072);
  const auto rest = file_.ReadPiece(131072, 65536);
  EXPECT_EQ(rest->bytes, std::string(65536, 'a'));
  EXPECT_EQ(file_.ReadPiece(200'000, 65536)->bytes, "end");
  GiveUp(1 << 20);  // all of it
  EXPECT_EQ(file_.ReadPiece(0, 65536)->gap_to, 200'003);
}

TEST_F(Tailed, ZerosThatWereWrittenAreBytes) {
  Append(std::string("a\0b", 3));
  EXPECT_EQ(file_.ReadPiece(0, 100)->bytes, std::string("a\0b", 3));
  EXPECT_EQ(file_.ReadPiece(1, 100)->bytes, std::string("\0b", 2));
}

TEST_F(Tailed, TheLastLinesBeginWhereTheyBegin) {
  Append("one\ntwo\nthree");
  EXPECT_EQ(*file_.TailOffset(1), 8);
  EXPECT_EQ(*file_.TailOffset(2), 4);
  EXPECT_EQ(*file_.TailOffset(9), 0);
  EXPECT_EQ(*file_.TailOffset(0), 13);
}

}  // namespace
}  // namespace yoke::streams
