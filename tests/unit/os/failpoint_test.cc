#include "common/os/failpoint.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "common/os/clock.h"
#include "common/os/file.h"
#include "common/os/process.h"
#include "tests/support/temp_folder.h"

#ifdef YOKE_FAILPOINTS
namespace yoke::os {
namespace {

// The environment is read once a process, at its first visit: each case has a process of its own,
// and this one visits nothing, so it reads files by other means than ours.
ExitStatus In(const std::string& plan, const std::function<int()>& body,
              const std::string& once = "") {
  const pid_t pid = fork();
  if (pid == 0) {
    setenv("YOKE_FAILPOINTS", plan.c_str(), 1);
    if (!once.empty()) setenv("YOKE_FAILPOINTS_ONCE", once.c_str(), 1);
    _exit(body());
  }
  return Wait(pid).value();
}

std::string Content(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

int CountErrors(int visits) {
  int errors = 0;
  for (int i = 0; i < visits; ++i) errors += YOKE_FAILPOINT_ERROR("test.point") == ENOSPC;
  return errors;
}

TEST(Failpoint, DoesNothingUnlessAsked) {
  EXPECT_EQ(In("", [] { return CountErrors(3); }).exit_code, 0);
  EXPECT_EQ(In("other.point=error(ENOSPC)", [] { return CountErrors(3); }).exit_code, 0);
  EXPECT_EQ(In("another_program:test.point=error(ENOSPC)", [] { return CountErrors(3); }).exit_code,
            0);
}

TEST(Failpoint, FailsAlwaysOrSoOftenAfterSoMany) {
  EXPECT_EQ(In("test.point=error(ENOSPC)", [] { return CountErrors(3); }).exit_code, 3);
  EXPECT_EQ(In("a=kill9;test.point=2*error(28)", [] { return CountErrors(5); }).exit_code, 2);
  EXPECT_EQ(
      In("test.point=3*off->1*error(ENOSPC)", [] { return CountErrors(3) * 10 + CountErrors(4); })
          .exit_code,
      1);
}

TEST(Failpoint, KillsAtTheVisitNamed) {
  EXPECT_EQ(In("test.point=2*off->kill9", [] { return CountErrors(3); }).signal, SIGKILL);
  EXPECT_EQ(In("test.point=3*off->kill9", [] { return CountErrors(3); }).signal, 0);
}

TEST(Failpoint, DelaysAndShortens) {
  const int64_t before = BootMilliseconds();
  EXPECT_EQ(In("test.point=delay(120)", [] { return CountErrors(1); }).exit_code, 0);
  EXPECT_GE(BootMilliseconds() - before, 120);
  EXPECT_EQ(In("test.point=1*short(7)",
               [] {
                 const size_t first = YOKE_FAILPOINT_LENGTH("test.point", size_t{50});
                 return static_cast<int>(first + YOKE_FAILPOINT_LENGTH("test.point", size_t{50}));
               })
                .exit_code,
            57);
}

TEST(Failpoint, ActsInOneProcessOnlyWhenAskedForOnce) {
  const TempFolder folder;
  const std::string once = folder.path() + "/once";
  EXPECT_EQ(In(
                "test.point=kill9", [] { return CountErrors(1); }, once)
                .signal,
            SIGKILL);
  EXPECT_EQ(In(
                "test.point=kill9", [] { return CountErrors(1); }, once)
                .signal,
            0);
  EXPECT_NE(Content(once).find(":test.point"), std::string::npos);
}

TEST(Failpoint, ATornWriteIsNeverSeenUnderItsName) {
  const TempFolder folder;
  const std::string path = folder.Write("file", "old");
  EXPECT_EQ(In("file.write.length=1*short(2);file.write=1*off->kill9",
               [&] { return AtomicWriteFile(path, "newer").ok() ? 0 : 1; })
                .signal,
            SIGKILL);
  EXPECT_EQ(Content(path), "old");
  for (const char* point : {"file.write", "file.sync.before", "file.rename.before", "file.open"}) {
    EXPECT_EQ(In(std::string(point) + "=1*error(EIO)",
                 [&] { return AtomicWriteFile(path, "newer").ok() ? 0 : 1; })
                  .exit_code,
              1)
        << point;
    EXPECT_EQ(Content(path), "old") << point;
  }
}

TEST(Failpoint, APlanThatCannotBeReadEndsTheProcess) {
  for (const char* wrong :
       {"test.point", "a=b", "a=kill9(1)", "a=error(EWHAT)", "a=x*kill9", "a=delay", "a=short()"}) {
    EXPECT_EQ(In(wrong, [] { return CountErrors(1); }).exit_code, 125) << wrong;
  }
}

}  // namespace
}  // namespace yoke::os
#else
TEST(Failpoint, IsNotCompiledIn) {
  YOKE_FAILPOINT("test.point");
  EXPECT_EQ(YOKE_FAILPOINT_ERROR("test.point"), 0);
  EXPECT_EQ(YOKE_FAILPOINT_LENGTH("test.point", 50), 50);
}
#endif
