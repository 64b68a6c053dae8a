// The exit record on a full disk: a small tmpfs in a mount namespace of this test's own.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <thread>

#include "common/os/file.h"
#include "gtest/gtest.h"
#include "server/shim/exit_writer.h"
#include "tests/support/temp_folder.h"

namespace yoke::shim {
namespace {

class FullDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=256k") != 0) {
      GTEST_SKIP() << "mounting a small tmpfs needs privileges that this process lacks";
    }
    mounted_ = true;
  }

  void TearDown() override {
    if (mounted_) umount2(folder_.path().c_str(), MNT_DETACH);
  }

  // Until not a byte fits any more.
  void Fill() {
    const auto fd = os::Open(filler_, O_WRONLY | O_CREAT | O_APPEND);
    ASSERT_TRUE(fd.ok());
    while (os::WriteAll(fd->get(), std::string(4096, 'x'), filler_).ok()) {
    }
    ASSERT_FALSE(os::AtomicWriteFile(folder_.path() + "/probe", "x").ok());
  }

  bool RecordIsThere() { return ipc::ReadJsonFile(folder_.path() + "/exit.json").ok(); }

  TempFolder folder_;
  const std::string filler_ = folder_.path() + "/filler";
  bool mounted_ = false;
};

TEST_F(FullDisk, TheRecordTakesTheRoomSetAside) {
  ExitWriter writer(folder_.path());
  writer.Reserve();
  Fill();
  const absl::Status written = writer.Write(ipc::ExitRecord(), 0);
  EXPECT_TRUE(written.ok()) << written;
  EXPECT_TRUE(RecordIsThere());
}

TEST_F(FullDisk, TheRecordWaitsForRoom) {
  Fill();  // before anything could be set aside
  ExitWriter writer(folder_.path());
  writer.Reserve();
  EXPECT_TRUE(absl::IsResourceExhausted(writer.Write(ipc::ExitRecord(), 0)));
  std::thread cleaner([&] {
    usleep(300'000);
    EXPECT_TRUE(os::RemoveFile(filler_).ok());
  });
  const absl::Status written = writer.Write(ipc::ExitRecord(), 10);
  cleaner.join();
  EXPECT_TRUE(written.ok()) << written;
  EXPECT_TRUE(RecordIsThere());
}

}  // namespace
}  // namespace yoke::shim
