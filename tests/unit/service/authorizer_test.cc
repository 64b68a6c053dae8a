// The token file, and whose jobs exist for whom. Who a caller is shows only on a real connection:
// see the integration tests.
#include "server/service/authorizer.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/os/file.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::service {
namespace {

TEST(Token, IsMadeOnceAndOnlyItsOwnerReadsIt) {
  const TempFolder folder;
  const std::string path = folder.path() + "/token";
  const auto made = LoadOrCreateToken(path);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_GE(made->size(), 64u);
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(LoadOrCreateToken(path).value(), *made);
  EXPECT_NE(LoadOrCreateToken(folder.path() + "/other").value(), *made);
}

TEST(Token, ThatOthersMayReadIsRefused) {
  const TempFolder folder;
  const std::string path = folder.path() + "/token";
  ASSERT_TRUE(LoadOrCreateToken(path).ok());
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  EXPECT_EQ(LoadOrCreateToken(path).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST(Token, EmptyShortOrNoFileIsRefused) {
  const TempFolder folder;
  const std::string path = folder.path() + "/token";
  for (const char* text : {"", "\n", "secret\n"}) {
    ASSERT_TRUE(os::AtomicWriteFile(path, text, 0600).ok());
    EXPECT_EQ(LoadOrCreateToken(path).status().code(), absl::StatusCode::kFailedPrecondition)
        << text;
  }
  ASSERT_TRUE(os::RemoveFile(path).ok());
  ASSERT_EQ(symlink("/etc/hostname", path.c_str()), 0);
  EXPECT_EQ(LoadOrCreateToken(path).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Authorizer, AnotherUsersJobDoesNotExist) {
  const std::unique_ptr<Authorizer> authorizer = MakeAuthorizer({});
  EXPECT_TRUE(authorizer->Authorize("yoke.v1.JobService/GetJob", {"ann", true}, "").ok());
  EXPECT_TRUE(authorizer->Authorize("yoke.v1.JobService/GetJob", {"ann", true}, "ann").ok());
  EXPECT_EQ(authorizer->Authorize("yoke.v1.JobService/GetJob", {"ann", true}, "bob").code(),
            absl::StatusCode::kNotFound);
}

TEST(ProcessUser, HasAName) { EXPECT_FALSE(ProcessUser().empty()); }

}  // namespace
}  // namespace yoke::service
