// Control groups, where this machine lets us make some.
#include "common/os/cgroup.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/os/file.h"
#include "common/os/process.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/os/untidy_caller.h"

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
    // Some are init's to wait for by now.
    for (int i = 0; i < 500 && !RemoveCgroup(folder_).ok(); ++i) usleep(10'000);
  }

  // A process that joined `group` and left its session, with a child of its own there.
  pid_t Start(const std::string& group) {
    int ready[2];
    if (pipe(ready) != 0) return -1;
    const pid_t pid = fork();
    if (pid == 0) {
      const bool joined = SetCgroup(group, "cgroup.procs", "0").ok();
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

TEST_F(Cgroup, ProcessesAreBornInIt) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c",
                  "grep -E 'SigBlk|SigIgn' /proc/self/status; pwd; ls /proc/$$/fd; sleep 60"};
  options.env = CurrentEnv();
  options.cwd = "/usr";
  options.new_group = true;
  options.cgroup = folder_;
  TempFolder out;
  const UniqueFd file = *Open(out.path() + "/out", O_WRONLY | O_CREAT | O_APPEND);
  options.stdout_fd = file.get();
  absl::StatusOr<pid_t> pid;
  sigset_t after;
  {
    const UntidyCaller untidy;
    pid = Spawn(options);
    sigprocmask(SIG_BLOCK, nullptr, &after);
  }
  if (absl::IsUnimplemented(pid.status())) GTEST_SKIP() << pid.status();
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_TRUE(sigismember(&after, SIGTERM) && !sigismember(&after, SIGINT))
      << "the caller's own mask stays";
  EXPECT_THAT(CgroupProcesses(folder_), testing::Contains(*pid));
  EXPECT_EQ(ReadProcessStat(*pid)->group, *pid);
  std::string text;
  for (int i = 0; i < 500 && !text.ends_with("\n2\n"); ++i) {
    usleep(10'000);
    text = *ReadFile(out.path() + "/out");
  }
  EXPECT_THAT(text, testing::HasSubstr("SigBlk:\t0000000000000000"));
  EXPECT_THAT(text, testing::ContainsRegex("SigIgn:\t[0-9a-f]+0000000\n"));
  EXPECT_THAT(text, testing::EndsWith("/usr\n0\n1\n2\n"));

  options.argv = {"/nonexistent/program"};
  EXPECT_TRUE(absl::IsNotFound(Spawn(options).status()));
  options.argv = {"/bin/true"};
  options.cgroup = folder_ + "/none";
  EXPECT_TRUE(absl::IsUnimplemented(Spawn(options).status()));
}

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
}

}  // namespace
}  // namespace yoke::os
