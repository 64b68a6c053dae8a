#include "common/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::os {
namespace {

int CountEntries(const std::string& folder) {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

TEST(File, ReadsWhatWasWritten) {
  TempFolder folder;
  const std::string path = folder.path() + "/file";
  const std::string bytes("a\0b\n", 4);
  ASSERT_TRUE(AtomicWriteFile(path, bytes).ok());
  EXPECT_EQ(ReadFile(path).value_or(""), bytes);
  EXPECT_EQ(CountEntries(folder.path()), 1);
}

TEST(File, ReplacesAsOneStep) {
  TempFolder folder;
  const std::string path = folder.path() + "/file";
  ASSERT_TRUE(AtomicWriteFile(path, "old").ok());
  const auto reader = Open(path, O_RDONLY);
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE(AtomicWriteFile(path, "new").ok());
  char buffer[8] = {};
  EXPECT_EQ(read(reader->get(), buffer, sizeof(buffer)), 3);
  EXPECT_STREQ(buffer, "old");  // an open reader keeps the old file
  EXPECT_EQ(ReadFile(path).value_or(""), "new");
}

TEST(File, KeepsTheModeAsked) {
  TempFolder folder;
  const std::string path = folder.path() + "/secret";
  ASSERT_TRUE(AtomicWriteFile(path, "x", 0600).ok());
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(File, LeavesNothingBehindWhenReplacingFails) {
  TempFolder folder;
  const std::string path = folder.path() + "/is-a-folder";
  ASSERT_TRUE(MakeDirs(path + "/full").ok());
  EXPECT_FALSE(AtomicWriteFile(path, "x").ok());
  EXPECT_EQ(CountEntries(folder.path()), 1);
}

TEST(File, SaysWhichFileIsMissing) {
  const auto text = ReadFile("/nonexistent/file");
  EXPECT_TRUE(absl::IsNotFound(text.status()));
  EXPECT_EQ(std::string(text.status().message()),
            "cannot open /nonexistent/file: No such file or directory");
}

TEST(File, RefusesMoreThanTheLimit) {
  TempFolder folder;
  const std::string path = folder.path() + "/file";
  ASSERT_TRUE(AtomicWriteFile(path, std::string(100, 'x')).ok());
  EXPECT_TRUE(ReadFile(path, 100).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(ReadFile(path, 99).status()));
}

TEST(File, ReadsTheTail) {
  TempFolder folder;
  const std::string path = folder.path() + "/file";
  ASSERT_TRUE(AtomicWriteFile(path, "0123456789").ok());
  EXPECT_EQ(ReadTail(path, 4).value_or(""), "6789");
  EXPECT_EQ(ReadTail(path, 40).value_or(""), "0123456789");
}

TEST(File, MapsErrorsToCodes) {
  EXPECT_EQ(ErrnoStatus(ENOENT, "x").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrnoStatus(EACCES, "x").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrnoStatus(EPERM, "x").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrnoStatus(ENOSPC, "x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoStatus(EEXIST, "x").code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ErrnoStatus(EIO, "x").code(), absl::StatusCode::kInternal);
}

TEST(File, ReportsAFullDisk) {
  const auto full = Open("/dev/full", O_WRONLY);
  ASSERT_TRUE(full.ok());
  EXPECT_TRUE(absl::IsResourceExhausted(WriteAll(full->get(), "x", "/dev/full")));
}

TEST(File, MakesFoldersAndTheirParents) {
  TempFolder folder;
  const std::string deep = folder.path() + "/a/b/c";
  ASSERT_TRUE(MakeDirs(deep).ok());
  EXPECT_TRUE(FileExists(deep));
  EXPECT_TRUE(MakeDirs(deep).ok());
  ASSERT_TRUE(AtomicWriteFile(deep + "/file", "x").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(MakeDirs(deep + "/file")));
  EXPECT_FALSE(MakeDirs(deep + "/file/under").ok());
}

TEST(File, RemovesQuietlyWhatIsNotThere) {
  EXPECT_TRUE(RemoveFile("/nonexistent").ok());
}

TEST(File, RemovesWhatWasNeverFinishedAndNothingElse) {
  const TempFolder folder;
  const std::vector<std::string> kept = {"last.pt", "a.tmpl", "x.tmp.old", "exit.json"};
  for (const std::string& name : kept) folder.Write(name, "1");
  for (const char* name : {"exit.json.tmp.123.0", "last.pt.tmp"}) folder.Write(name, "1");
  RemoveUnfinished(folder.path());
  RemoveUnfinished(folder / "none");
  size_t left = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    left += entry.is_regular_file();
  EXPECT_EQ(left, kept.size());
  for (const std::string& name : kept) EXPECT_TRUE(FileExists(folder / name)) << name;
}

TEST(File, NamesTheFolderOfAPath) {
  EXPECT_EQ(FolderOf("/a/b"), "/a");
  EXPECT_EQ(FolderOf("/a/b/"), "/a");
  EXPECT_EQ(FolderOf("/a"), "/");
  EXPECT_EQ(FolderOf("/"), "/");
  EXPECT_EQ(FolderOf("a"), ".");
  EXPECT_EQ(FolderOf("a//b"), "a");
  EXPECT_EQ(FolderOf(""), ".");
}

}  // namespace
}  // namespace yoke::os
