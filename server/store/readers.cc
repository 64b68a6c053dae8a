#include "server/store/readers.h"

#include "server/store/schema.h"

namespace yoke::store {
namespace {
constexpr int kReadersMax = 8;
}  // namespace

absl::Status Readers::Run(const std::function<absl::Status(SQLite::Database&)>& work) {
  std::unique_ptr<SQLite::Database> connection = Take();
  absl::Status status;
  try {
    if (connection == nullptr) {
      connection = std::make_unique<SQLite::Database>(path_, SQLite::OPEN_READONLY, /*busy timeout ms=*/5000);
      connection->exec("PRAGMA wal_autocheckpoint = 0; PRAGMA query_only = ON;");
    }
    SQLite::Transaction transaction(*connection);
    status = work(*connection);
  } catch (const SQLite::Exception& error) {
    connection.reset();
    status = ToStatus(error, "cannot read the database");
  }
  GiveBack(std::move(connection));
  return status;
}

void Readers::Close() {
  MutexLock lock(mutex_);
  idle_.clear();
}

std::unique_ptr<SQLite::Database> Readers::Take() {
  MutexLock lock(mutex_);
  while (taken_ == kReadersMax) given_back_.Wait(mutex_);
  ++taken_;
  if (idle_.empty()) return nullptr;
  std::unique_ptr<SQLite::Database> connection = std::move(idle_.back());
  idle_.pop_back();
  return connection;
}

void Readers::GiveBack(std::unique_ptr<SQLite::Database> connection) {
  MutexLock lock(mutex_);
  --taken_;
  if (connection != nullptr) idle_.push_back(std::move(connection));
  given_back_.NotifyOne();
}

}  // namespace yoke::store
