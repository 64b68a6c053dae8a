// Control groups, where this machine lets us make some.
#include "common/os/cgroup.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::os {
namespace {

class Cgroup : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::StatusOr<std::string> own = OwnCgroup();
    if (!own.ok()) GTEST_SKIP() << own.status();
    folder_ = absl::StrCat(*own, "/yoke-test-", getpid());
    if (mkdir(folder_.c_str(), 0755) != 0) GTEST_SKIP() << "no group can be made in " << *own;
  }
  void TearDown() override {
    if (folder_.empty()) return;
    KillCgroup(folder_).IgnoreError();
    while (waitpid(-1, nullptr, 0) > 0) {
    }
    RemoveCgroup(folder_).IgnoreError();
  }

  // A process that joined `group` and left its session, with a child of its own there.
  pid_t Start(const std::string& group) {
    int ready[2];
    if (pipe(ready) != 0) return -1;
    const pid_t pid = fork();
    if (pid == 0) {
      const bool joined = JoinCgroup(group).ok();
      setsid();
      if (fork() != 0 && write(ready[1], joined ? "y" : "n", 1) != 1) _exit(1);
      sleep(600);
      _exit(0);
    }
    char joined = 'n';
    const bool heard = read(ready[0], &joined, 1) == 1;
    close(ready[0]);
    close(ready[1]);
    return heard && joined == 'y' ? pid : -1;
  }

  std::string folder_;
};

TEST_F(Cgroup, KnowsWhoIsInItAndKillsThemAllAtOnce) {
  EXPECT_FALSE(*IsCgroupPopulated(folder_));
  const std::string below = folder_ + "/below";
  ASSERT_EQ(mkdir(below.c_str(), 0755), 0);
  const pid_t one = Start(folder_), two = Start(below);
  ASSERT_GT(one, 0);
  ASSERT_GT(two, 0);
  EXPECT_TRUE(*IsCgroupPopulated(folder_));
  EXPECT_THAT(CgroupProcesses(folder_), ::testing::IsSupersetOf({one, two}));
  EXPECT_EQ(CgroupProcesses(folder_).size(), 4u);
  EXPECT_EQ(RemoveCgroup(folder_).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(KillCgroup(folder_).ok());
  for (const pid_t pid : {one, two}) {
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  }
  for (int i = 0; i < 100 && *IsCgroupPopulated(folder_); ++i) usleep(10'000);
  EXPECT_TRUE(RemoveCgroup(folder_).ok());
  EXPECT_NE(access(folder_.c_str(), F_OK), 0);
}

TEST_F(Cgroup, OneThatIsGoneIsNoError) {
  ASSERT_TRUE(RemoveCgroup(folder_).ok());
  EXPECT_TRUE(RemoveCgroup(folder_).ok());
  EXPECT_TRUE(KillCgroup(folder_).ok());
  EXPECT_TRUE(CgroupProcesses(folder_).empty());
  EXPECT_EQ(IsCgroupPopulated(folder_).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(JoinCgroup(folder_).ok());
}

}  // namespace
}  // namespace yoke::os
