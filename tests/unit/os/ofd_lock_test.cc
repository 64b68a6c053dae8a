#include "common/os/ofd_lock.h"

#include <signal.h>

#include <optional>

#include "common/os/file.h"
#include "common/os/process.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::os {
namespace {

TEST(OfdLock, IsHeldByOneUntilItEnds) {
  TempFolder folder;
  const std::string path = folder.path() + "/lock";
  EXPECT_FALSE(OfdLock::IsHeld(path).value());
  absl::StatusOr<OfdLock> first = OfdLock::Take(path);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(OfdLock::IsHeld(path).value());
  EXPECT_TRUE(absl::IsFailedPrecondition(OfdLock::Take(path).status()));
  { const OfdLock ended = *std::move(first); }
  EXPECT_FALSE(OfdLock::IsHeld(path).value());
  EXPECT_TRUE(OfdLock::Take(path).ok());
}

TEST(OfdLock, AskingDoesNotTake) {
  TempFolder folder;
  const std::string path = folder.path() + "/lock";
  ASSERT_TRUE(AtomicWriteFile(path, "").ok());
  EXPECT_FALSE(OfdLock::IsHeld(path).value());
  EXPECT_TRUE(OfdLock::Take(path).ok());
}

TEST(OfdLock, DoesNotPassToChildren) {
  TempFolder folder;
  const std::string path = folder.path() + "/lock";
  std::optional<OfdLock> lock = *OfdLock::Take(path);
  SpawnOptions options;
  options.argv = {"/bin/sleep", "30"};
  const pid_t child = Spawn(options).value();
  lock.reset();
  EXPECT_FALSE(OfdLock::IsHeld(path).value());
  kill(child, SIGKILL);
  EXPECT_TRUE(Wait(child).ok());
}

}  // namespace
}  // namespace yoke::os
