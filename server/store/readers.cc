#include "server/store/readers.h"

#include "server/store/schema.h"

namespace yoke::store {
namespace {
constexpr size_t kIdleMax = 4;
}  // namespace

absl::Status Readers::Run(const std::function<absl::Status(SQLite::Database&)>& work) {
  try {
    std::unique_ptr<SQLite::Database> connection = Take();
    absl::Status status;
    {
      SQLite::Transaction transaction(*connection);
      status = work(*connection);
    }
    GiveBack(std::move(connection));
    return status;
  } catch (const SQLite::Exception& error) {
    return ToStatus(error, "cannot read the database");
  }
}

void Readers::Close() {
  MutexLock lock(mutex_);
  idle_.clear();
}

std::unique_ptr<SQLite::Database> Readers::Take() {
  {
    MutexLock lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<SQLite::Database> connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
  }
  auto connection = std::make_unique<SQLite::Database>(path_, SQLite::OPEN_READONLY, /*busy timeout ms=*/5000);
  connection->exec("PRAGMA wal_autocheckpoint = 0; PRAGMA query_only = ON;");
  return connection;
}

void Readers::GiveBack(std::unique_ptr<SQLite::Database> connection) {
  MutexLock lock(mutex_);
  if (idle_.size() < kIdleMax) idle_.push_back(std::move(connection));
}

}  // namespace yoke::store
