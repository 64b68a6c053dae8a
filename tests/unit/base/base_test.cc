#include <chrono>
#include <thread>

#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "gtest/gtest.h"

namespace yoke {
namespace {

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError("odd");
  return value / 2;
}

absl::StatusOr<int> Quarter(int value) {
  YOKE_ASSIGN_OR_RETURN(const int half, Half(value));
  YOKE_ASSIGN_OR_RETURN(const int quarter, Half(half));
  YOKE_RETURN_IF_ERROR(absl::OkStatus());
  return quarter;
}

TEST(StatusMacros, ReturnEarlyOrUnwrap) {
  EXPECT_EQ(Quarter(8).value(), 2);
  EXPECT_TRUE(absl::IsInvalidArgument(Quarter(3).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Quarter(6).status()));
}

TEST(CheckDeathTest, NamesWhatDoesNotHold) {
  YOKE_CHECK(1 + 1 == 2);
  EXPECT_DEATH(YOKE_CHECK_MSG(1 + 1 == 3, "arithmetic"), "check failed: 1 \\+ 1 == 3 arithmetic");
}

TEST(CondVar, WakesAWaiter) {
  Mutex mutex;
  CondVar changed;
  bool ready = false;
  std::thread setter([&] {
    MutexLock lock(mutex);
    ready = true;
    changed.NotifyAll();
  });
  {
    MutexLock lock(mutex);
    while (!ready) changed.Wait(mutex);
  }
  setter.join();
}

TEST(CondVar, GivesUpAtItsDeadline) {
  Mutex mutex;
  CondVar never;
  MutexLock lock(mutex);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  while (never.WaitUntil(mutex, deadline)) {
  }
  EXPECT_GE(std::chrono::steady_clock::now(), deadline);
}

TEST(Strings, KeepTheBytes) {
  const std::string text("a\0b", 3);
  EXPECT_EQ(ToAbsl(text).size(), 3u);
  EXPECT_EQ(ToStd(ToAbsl(text)), text);
}

}  // namespace
}  // namespace yoke
