#include "server/store/readers.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "tests/support/temp_folder.h"

namespace yoke::store {
namespace {

constexpr int kAskers = 64;
constexpr int kConnectionsMax = 8;

class ReadersTest : public testing::Test {
 protected:
  ReadersTest() {
    SQLite::Database database(path_, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    database.exec(
        "PRAGMA journal_mode = WAL; CREATE TABLE t (x INTEGER); INSERT INTO t VALUES (7)");
  }

  TempFolder folder_;
  const std::string path_ = folder_ / "some.db";
  Readers readers_{path_};
};

long OpenDescriptors(const std::string& path) {
  long count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    count += std::filesystem::read_symlink(entry.path(), error) == path ? 1 : 0;
  }
  return count;
}

TEST_F(ReadersTest, ManyAtOnceShareAFewConnections) {
  // A connection that stays, as the writer's: SQLite closes no descriptor meanwhile.
  SQLite::Database writer(path_, SQLite::OPEN_READWRITE);
  writer.exec("INSERT INTO t VALUES (8)");
  std::atomic<int> reading = 0, most = 0, answered = 0;
  std::vector<std::thread> askers;
  for (int i = 0; i < kAskers; ++i) {
    askers.emplace_back([&] {
      const absl::Status status = readers_.Run([&](Statements& statements) {
        const int now = ++reading;
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        answered += statements.database().execAndGet("SELECT max(x) FROM t").getInt() == 8 ? 1 : 0;
        --reading;
        return absl::OkStatus();
      });
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  for (std::thread& asker : askers) asker.join();
  EXPECT_EQ(answered, kAskers);
  EXPECT_GT(most, 1);
  EXPECT_LE(most, kConnectionsMax);
  EXPECT_LE(OpenDescriptors(path_), kConnectionsMax + 1);
}

TEST_F(ReadersTest, OneThatFailsMakesRoomForTheNext) {
  for (int i = 0; i < 3 * kConnectionsMax; ++i) {
    const absl::Status failed = readers_.Run([](Statements& statements) {
      statements.database().exec("SELECT * FROM nothing");
      return absl::OkStatus();
    });
    EXPECT_FALSE(failed.ok());
    EXPECT_TRUE(readers_.Run([](Statements&) { return absl::OkStatus(); }).ok());
  }
}

TEST_F(ReadersTest, NoneCanWrite) {
  EXPECT_FALSE(readers_
                   .Run([](Statements& statements) {
                     statements.database().exec("INSERT INTO t VALUES (9)");
                     return absl::OkStatus();
                   })
                   .ok());
}

// No error of the database, nor of who asks: a moment later it may go.
TEST_F(ReadersTest, AskWhoComesWhileNoDescriptorIsLeftToComeAgain) {
  const auto read = [&] { return readers_.Run([](Statements&) { return absl::OkStatus(); }); };
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const absl::Status refused = read();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
  EXPECT_TRUE(read().ok());
}

}  // namespace
}  // namespace yoke::store
