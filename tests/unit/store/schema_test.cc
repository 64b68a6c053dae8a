#include "server/store/schema.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "common/os/file.h"

namespace yoke::store {
namespace {

class Schema : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "yoke-schema.XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
    path_ = folder_ + "/yoke.db";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_, path_;
};

TEST_F(Schema, ANewerVersionIsRefusedUntouched) {
  ASSERT_TRUE(OpenDatabase(path_, false, {"CREATE TABLE a (x INTEGER)", "CREATE TABLE b (x INTEGER)"}).ok());
  const std::string before = os::ReadFile(path_).value();
  const absl::Status refused = OpenDatabase(path_, true, {"CREATE TABLE a (x INTEGER)"}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(os::ReadFile(path_).value(), before);
}

TEST_F(Schema, AnOlderVersionIsMigratedAfterABackup) {
  {
    auto first = OpenDatabase(path_, false, {"CREATE TABLE a (x INTEGER)"});
    ASSERT_TRUE(first.ok());
    (*first)->exec("INSERT INTO a VALUES (5)");
  }
  auto second = OpenDatabase(path_, true, {"CREATE TABLE a (x INTEGER)", "ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 6"});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ((*second)->execAndGet("SELECT x + y FROM a").getInt(), 11);
  int backups = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) backups += entry.path().string().find(".backup-v1-") != std::string::npos;
  EXPECT_EQ(backups, 1);
}

TEST_F(Schema, TheTableInTheOrderOfTheQueueKeepsJobsAndWhoHoldsADevice) {
  const Migrations& now = CurrentMigrations();
  {
    auto older = OpenDatabase(path_, false, {now[0], now[1], now[2], now[3]});
    ASSERT_TRUE(older.ok());
    for (const char* job : {"'a', 3", "'b', 1", "'c', 2"}) {
      (*older)->exec(std::string("INSERT INTO job VALUES (") + job + ", 'ann', 1, 0, '', NULL, '', 0, '', 10, 0, '', x'', NULL, NULL, NULL)");
    }
    (*older)->exec("INSERT INTO lease VALUES ('GPU-1', 'c', 1, 0, '', 0)");
  }
  auto newer = OpenDatabase(path_, true, {now.begin(), now.begin() + 5});
  ASSERT_TRUE(newer.ok()) << newer.status();
  EXPECT_EQ((*newer)->execAndGet("SELECT group_concat(id, '') FROM (SELECT id FROM job ORDER BY rowid)").getString(), "bca");
  EXPECT_EQ((*newer)->execAndGet("SELECT count(*) FROM pragma_foreign_key_check").getInt(), 0);
  EXPECT_THROW((*newer)->exec("DELETE FROM job WHERE id = 'c'"), SQLite::Exception);  // a device is leased to it
  EXPECT_THROW((*newer)->exec("INSERT INTO lease VALUES ('GPU-2', 'd', 1, 0, '', 0)"), SQLite::Exception);
  EXPECT_EQ((*newer)->execAndGet("PRAGMA integrity_check").getString(), "ok");
}

TEST_F(Schema, AMigrationThatFailsChangesNothing) {
  ASSERT_TRUE(OpenDatabase(path_, false, {"CREATE TABLE a (x INTEGER)"}).ok());
  EXPECT_FALSE(OpenDatabase(path_, true, {"", "CREATE TABLE b (x INTEGER); CREATE TABLE nonsense"}).ok());
  auto again = OpenDatabase(path_, true, {"CREATE TABLE a (x INTEGER)"});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE((*again)->tableExists("b"));
}

TEST_F(Schema, GarbageAndDamageAreRefused) {
  ASSERT_TRUE(os::AtomicWriteFile(path_, "hello, this is a text file and not a database at all ...........................................").ok());
  EXPECT_EQ(OpenDatabase(path_, true).status().code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(os::AtomicWriteFile(path_, "").ok());
  EXPECT_EQ(OpenDatabase(path_, true).status().code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(OpenDatabase(path_, false).ok());
  std::string bytes = os::ReadFile(path_).value();
  ASSERT_GT(bytes.size(), 8192u);
  for (size_t i = 4096; i < bytes.size(); ++i) bytes[i] = 'x';
  ASSERT_TRUE(os::AtomicWriteFile(path_, bytes).ok());
  EXPECT_EQ(OpenDatabase(path_, true).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace yoke::store
