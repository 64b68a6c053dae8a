#include "server/store/schema.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"

namespace yoke::store {
namespace {

constexpr char kMagic[] = "SQLite format 3";  // with its terminating zero: the file's first 16 bytes
constexpr size_t kHeaderBytes = 100;
constexpr size_t kUserVersionOffset = 60;

constexpr char kVersion1[] = R"(
CREATE TABLE job (
  id TEXT PRIMARY KEY,
  sequence INTEGER NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  state INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  display_name TEXT NOT NULL,
  request_id TEXT,
  request_hash TEXT NOT NULL,
  stop_requested INTEGER NOT NULL,
  stop_reason TEXT NOT NULL,
  stop_grace_seconds REAL NOT NULL,
  uid INTEGER NOT NULL,
  user_set TEXT NOT NULL,
  message BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX job_by_request ON job(owner, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX job_by_state ON job(state, sequence);
CREATE TABLE lease (
  device_uuid TEXT PRIMARY KEY,
  job_id TEXT NOT NULL REFERENCES job(id),
  attempt INTEGER NOT NULL,
  quarantined INTEGER NOT NULL,
  quarantine_reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE event (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  job_id TEXT NOT NULL,
  message BLOB NOT NULL
) STRICT;
)";

absl::Status NotADatabase(const std::string& path) {
  return absl::DataLossError(absl::StrCat(path, " is not a database of yoked, or is damaged; it was left as it is. Restore it from a copy (",
                                          path, ".backup-*), or choose another state folder with --state"));
}

absl::Status Newer(const std::string& path, int version, size_t known) {
  return absl::FailedPreconditionError(absl::StrCat(path, " has version ", version, ", written by a newer yoked; this one knows up to ", known,
                                                    ". It was left as it is: start the newer program, or choose another state folder"));
}

// What the file's own header tells, before SQLite, which may replay a log, is let near it.
absl::Status CheckHeader(const std::string& path, bool must_exist, size_t known) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0 || info.st_size == 0) {
    if (!must_exist) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(path, " is missing or empty, though its state folder holds jobs; restore it from a copy, or choose "
                                                  "another state folder with --state"));
  }
  YOKE_ASSIGN_OR_RETURN(const os::UniqueFd fd, os::Open(path, O_RDWR));
  unsigned char header[kHeaderBytes];
  if (read(fd.get(), header, sizeof header) != static_cast<ssize_t>(sizeof header) || std::memcmp(header, kMagic, sizeof kMagic) != 0) {
    return NotADatabase(path);
  }
  int version = 0;
  for (size_t i = 0; i < 4; ++i) version = version << 8 | header[kUserVersionOffset + i];
  return version > static_cast<int>(known) ? Newer(path, version, known) : absl::OkStatus();
}

void Migrate(SQLite::Database& database, const std::string& path, int version, const Migrations& migrations) {
  if (version > 0) {
    SQLite::Statement backup(database, "VACUUM INTO ?");
    backup.bind(1, absl::StrCat(path, ".backup-v", version, "-", time(nullptr)));
    backup.exec();
  }
  for (size_t next = version; next < migrations.size(); ++next) {
    SQLite::Transaction transaction(database);
    database.exec(migrations[next]);
    database.exec(absl::StrCat("PRAGMA user_version = ", next + 1));
    YOKE_FAILPOINT("schema.commit.before");
    transaction.commit();
    YOKE_FAILPOINT("schema.commit.after");
  }
}

}  // namespace

const Migrations& CurrentMigrations() {
  static const Migrations migrations = {kVersion1};
  return migrations;
}

absl::Status ToStatus(const SQLite::Exception& error, const std::string& what) {
  const std::string message = absl::StrCat(what, ": ", error.what());
  switch (error.getErrorCode()) {
    case SQLITE_FULL: return absl::ResourceExhaustedError(absl::StrCat(message, ". Free some space on the disk of the state folder"));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return absl::DataLossError(message);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM: return absl::PermissionDeniedError(message);
    case SQLITE_CONSTRAINT: return absl::FailedPreconditionError(message);
    default: return absl::InternalError(message);
  }
}

absl::StatusOr<std::unique_ptr<SQLite::Database>> OpenDatabase(const std::string& path, bool must_exist, const Migrations& migrations) {
  YOKE_RETURN_IF_ERROR(CheckHeader(path, must_exist, migrations.size()));
  try {
    YOKE_FAILPOINT("schema.open.before");
    auto database = std::make_unique<SQLite::Database>(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, /*busy timeout ms=*/5000);
    const int version = database->execAndGet("PRAGMA user_version").getInt();
    if (version > static_cast<int>(migrations.size())) return Newer(path, version, migrations.size());
    if (database->execAndGet("PRAGMA quick_check(1)").getString() != "ok") return NotADatabase(path);
    database->exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
    YOKE_FAILPOINT("schema.log.after");
    if (version < static_cast<int>(migrations.size())) Migrate(*database, path, version, migrations);
    return database;
  } catch (const SQLite::Exception& error) {
    if (error.getErrorCode() == SQLITE_NOTADB || error.getErrorCode() == SQLITE_CORRUPT) return NotADatabase(path);
    return ToStatus(error, absl::StrCat("cannot open ", path));
  }
}

}  // namespace yoke::store
