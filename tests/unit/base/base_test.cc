#include <chrono>
#include <thread>

#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/utf8.h"
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

// As many sequences of each length as Unicode has characters of it.
TEST(Utf8, TakesEveryCharacterAndNothingElse) {
  const auto length = [](std::initializer_list<int> bytes) {
    std::string text;
    for (const int byte : bytes) text += static_cast<char>(byte);
    return Utf8Length(text);
  };
  int one = 0, two = 0, three = 0, four = 0;
  for (int a = 0; a < 256; ++a) one += length({a, 0x80, 0x80, 0x80}) == 1;
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      two += length({a, b}) == 2;
      for (int c = 0; c < 256; ++c) three += length({a, b, c}) == 3;
    }
  }
  for (int a = 0xf0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      for (int c = 0x80; c < 0xc0; ++c) {
        for (int d = 0x80; d < 0xc0; ++d) four += length({a, b, c, d}) == 4;
      }
    }
  }
  EXPECT_EQ(one, 0x80);
  EXPECT_EQ(two, 0x800 - 0x80);
  EXPECT_EQ(three, 0x10000 - 0x800 - (0xe000 - 0xd800));  // without surrogates
  EXPECT_EQ(four, 0x110000 - 0x10000);
  EXPECT_EQ(length({0xf0, 0x9f, 0x98, 0x7f}), 0u);
  EXPECT_EQ(length({0xf0, 0x9f, 0x98}), 0u);
}

TEST(Utf8, IsTakenOffCharacterByCharacter) {
  std::string_view text = "a\xc3\xab\xff\xe2\x82";
  EXPECT_FALSE(IsUtf8(text));
  for (const std::string_view next : {"a", "\xc3\xab", "", "", ""}) EXPECT_EQ(TakeUtf8(text), next);
  EXPECT_TRUE(text.empty());
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("Zo\xc3\xab"));
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
