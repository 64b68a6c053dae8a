#include "common/os/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "common/os/file.h"
#include "common/os/self_path.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/os/untidy_caller.h"

namespace yoke::os {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

SpawnOptions Shell(const std::string& script) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", script};
  options.env = CurrentEnv();
  return options;
}

std::string OutputOf(SpawnOptions options) {
  TempFolder folder;
  const std::string path = folder.path() + "/out";
  const auto fd = Open(path, O_WRONLY | O_CREAT | O_APPEND);
  options.stdout_fd = fd->get();
  options.stderr_fd = fd->get();
  const auto pid = Spawn(options);
  EXPECT_TRUE(pid.ok()) << pid.status();
  EXPECT_TRUE(Wait(pid.value()).ok());
  return ReadFile(path).value();
}

TEST(Process, ReportsTheExitCode) {
  const auto exit = Wait(Spawn(Shell("exit 7")).value());
  ASSERT_TRUE(exit.ok());
  EXPECT_EQ(exit->exit_code, 7);
  EXPECT_EQ(exit->signal, 0);
  EXPECT_GT(exit->max_rss_bytes, 0);
  EXPECT_FALSE(exit->ok());
}

TEST(Process, ReportsTheSignal) {
  const auto exit = Wait(Spawn(Shell("kill -KILL $$")).value());
  ASSERT_TRUE(exit.ok());
  EXPECT_EQ(exit->signal, SIGKILL);
  EXPECT_EQ(exit->exit_code, 0);
}

TEST(Process, PassesStdoutEnvironmentAndFolder) {
  SpawnOptions options = Shell("echo $GREETING; pwd; echo to stderr >&2");
  SetEnv(options.env, "GREETING", "hello");
  options.cwd = "/usr";
  EXPECT_EQ(OutputOf(options), "hello\n/usr\nto stderr\n");
}

TEST(Process, StartsWithCleanSignalsAndNoOtherDescriptor) {
  const UntidyCaller untidy;
  const std::string output = OutputOf(Shell("grep -E 'SigBlk|SigIgn' /proc/self/status; ls /proc/$$/fd"));
  EXPECT_THAT(output, HasSubstr("SigBlk:\t0000000000000000"));
  // The upper bits are signals that the C library keeps for itself.
  EXPECT_THAT(output, testing::ContainsRegex("SigIgn:\t[0-9a-f]+0000000\n"));
  EXPECT_THAT(output, testing::EndsWith("\n0\n1\n2\n"));
}

TEST(Process, MakesASessionOrAGroup) {
  SpawnOptions options = Shell("sleep 30");
  options.new_session = true;
  const pid_t leader = Spawn(options).value();
  EXPECT_EQ(ReadProcessStat(leader)->session, leader);
  options.new_session = false;
  options.new_group = true;
  const pid_t grouped = Spawn(options).value();
  EXPECT_EQ(ReadProcessStat(grouped)->group, grouped);
  EXPECT_NE(ReadProcessStat(grouped)->session, grouped);
  for (const pid_t pid : {leader, grouped}) {
    kill(-pid, SIGKILL);
    EXPECT_TRUE(Wait(pid).ok());
  }
}

TEST(Process, NamesAProgramThatIsNotThere) {
  for (const bool dies_with_caller : {false, true}) {
    SpawnOptions options;
    options.argv = {"/nonexistent/program"};
    options.dies_with_caller = dies_with_caller;
    const auto pid = Spawn(options);
    EXPECT_TRUE(absl::IsNotFound(pid.status()));
    EXPECT_THAT(std::string(pid.status().message()), HasSubstr("/nonexistent/program"));
  }
}

TEST(Process, IsLimitedAndOfferedToTheKernelBeforeItRuns) {
  const UntidyCaller untidy;
  SpawnOptions options = Shell(
      "cat /proc/self/oom_score_adj; grep processes /proc/self/limits; grep SigBlk "
      "/proc/self/status; ls /proc/$$/fd");
  options.oom_score = 731;
  options.user_processes_max = 54321;
  options.joined_cgroup = "/nonexistent/group";
  const std::string output = OutputOf(options);
  EXPECT_THAT(output, testing::StartsWith("it cannot join its control group\n731\n"));
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NPROC, &limit), 0);
  if (limit.rlim_max > 54321) {
    EXPECT_THAT(output, testing::ContainsRegex("Max processes +54321 +54321 "));
  }
  EXPECT_THAT(output, HasSubstr("SigBlk:\t0000000000000000"));
  EXPECT_THAT(output, testing::EndsWith("\n0\n1\n2\n"));
}

TEST(Process, DiesWithItsCaller) {
  int told[2];
  ASSERT_EQ(pipe(told), 0);
  const pid_t caller = fork();
  if (caller == 0) {
    SpawnOptions options = Shell("exec sleep 60");
    options.dies_with_caller = true;
    const pid_t pid = Spawn(options).value_or(0);
    _exit(write(told[1], &pid, sizeof pid) == sizeof pid ? 0 : 1);
  }
  pid_t pid = 0;
  ASSERT_EQ(read(told[0], &pid, sizeof pid), ssize_t{sizeof pid});
  close(told[0]);
  close(told[1]);
  ASSERT_GT(pid, 0);
  EXPECT_TRUE(Wait(caller)->ok());
  const auto gone = [pid] {
    const auto stat = ReadProcessStat(pid);
    return !stat.ok() || stat->state == 'Z';
  };
  for (int i = 0; i < 500 && !gone(); ++i) usleep(10'000);
  EXPECT_TRUE(gone());
}

TEST(Process, IsSignalledAndSeenThroughItsDescriptor) {
  const pid_t pid = Spawn(Shell("exec sleep 30")).value();
  const auto fd = PidfdOpen(pid);
  ASSERT_TRUE(fd.ok()) << fd.status();
  EXPECT_FALSE(TryWait(pid)->has_value());
  EXPECT_THAT(ChildrenOf(getpid()), Contains(pid));
  EXPECT_TRUE(PidfdSignal(fd->get(), SIGTERM).ok());
  EXPECT_EQ(Wait(pid)->signal, SIGTERM);
  EXPECT_TRUE(absl::IsNotFound(PidfdSignal(fd->get(), SIGTERM)));
  EXPECT_TRUE(absl::IsNotFound(PidfdOpen(pid).status()));
  EXPECT_TRUE(absl::IsNotFound(ReadProcessStat(pid).status()));
}

TEST(Process, TellsAProcessFromALaterOneByItsStart) {
  const int64_t own = StartTicks(getpid()).value();
  EXPECT_GT(own, 0);
  usleep(20'000);
  const pid_t pid = Spawn(Shell("exec sleep 30")).value();
  EXPECT_GT(StartTicks(pid).value(), own);
  EXPECT_EQ(StartTicks(pid).value(), StartTicks(pid).value());
  kill(pid, SIGKILL);
  while (ProcessState(pid).value() != 'Z') usleep(1000);
  EXPECT_TRUE(Wait(pid).ok());
}

TEST(Process, IsFoundByItsMarker) {
  const std::string marker = "YOKE_TEST_MARKER=" + std::to_string(getpid());
  SpawnOptions options = Shell("exec sleep 30");
  options.env.push_back(marker);
  const pid_t pid = Spawn(options).value();
  while (!HasEnv(pid, marker)) usleep(1000);
  EXPECT_THAT(FindProcessesWithEnv(marker), ElementsAre(pid));
  EXPECT_TRUE(FindProcessesWithEnv(marker.substr(0, marker.size() - 1)).empty());
  kill(pid, SIGKILL);
  EXPECT_TRUE(Wait(pid).ok());
  EXPECT_TRUE(FindProcessesWithEnv(marker).empty());
}

TEST(Process, SetEnvReplaces) {
  std::vector<std::string> env = {"A=1", "AB=2"};
  SetEnv(env, "A", "3");
  EXPECT_THAT(env, ElementsAre("AB=2", "A=3"));
}

TEST(Process, KnowsBootAndSelf) {
  EXPECT_EQ(BootId().value().size(), 36u);
  EXPECT_THAT(SelfPath().value(), testing::EndsWith("/os_process_test"));
  EXPECT_EQ(SelfFolder().value() + "/os_process_test", SelfPath().value());
}

}  // namespace
}  // namespace yoke::os
