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
#include "server/store/rows.h"

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

// A record's CRC-32C; none for what version 1 wrote.
constexpr char kVersion2[] = "ALTER TABLE job ADD COLUMN checksum INTEGER;";

// Tasks of arrays: an index is made once.
constexpr char kVersion3[] = R"(
ALTER TABLE job ADD COLUMN array_id TEXT;
ALTER TABLE job ADD COLUMN array_index INTEGER;
CREATE UNIQUE INDEX job_by_array_index ON job(array_id, array_index) WHERE array_id IS NOT NULL;
CREATE INDEX job_by_array_state ON job(array_id, state) WHERE array_id IS NOT NULL;
)";

// Jobs that share a device hold it together; one that does not holds it alone.
constexpr char kVersion4[] = R"(
CREATE TABLE lease_shared (
  device_uuid TEXT NOT NULL,
  job_id TEXT NOT NULL REFERENCES job(id),
  attempt INTEGER NOT NULL,
  quarantined INTEGER NOT NULL,
  quarantine_reason TEXT NOT NULL,
  shared_bytes INTEGER NOT NULL CHECK (shared_bytes >= 0),
  PRIMARY KEY (device_uuid, job_id)
) STRICT, WITHOUT ROWID;
INSERT INTO lease_shared SELECT device_uuid, job_id, attempt, quarantined, quarantine_reason, 0 FROM lease;
DROP TABLE lease;
ALTER TABLE lease_shared RENAME TO lease;
CREATE UNIQUE INDEX lease_alone ON lease(device_uuid) WHERE shared_bytes = 0;
CREATE TRIGGER lease_one_kind BEFORE INSERT ON lease
WHEN EXISTS (SELECT 1 FROM lease WHERE device_uuid = NEW.device_uuid AND (shared_bytes = 0) <> (NEW.shared_bytes = 0))
BEGIN SELECT RAISE(ABORT, 'a device is shared or held alone, never both'); END;
)";

// The table is in the order of the queue: new jobs are appended, and a page of the newest or all open ones are read in
// one piece. Ids are random: jobs in their order would lie all over the file.
constexpr char kVersion5[] = R"(
CREATE TABLE job_by_sequence (
  sequence INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
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
  message BLOB NOT NULL,
  checksum INTEGER,
  array_id TEXT,
  array_index INTEGER
) STRICT;
INSERT INTO job_by_sequence SELECT sequence, id, owner, state, priority, display_name, request_id, request_hash, stop_requested,
  stop_reason, stop_grace_seconds, uid, user_set, message, checksum, array_id, array_index FROM job ORDER BY sequence;
DROP TABLE job;
ALTER TABLE job_by_sequence RENAME TO job;
CREATE UNIQUE INDEX job_by_request ON job(owner, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX job_by_state ON job(state);
CREATE UNIQUE INDEX job_by_array_index ON job(array_id, array_index) WHERE array_id IS NOT NULL;
CREATE INDEX job_by_array_state ON job(array_id, state) WHERE array_id IS NOT NULL;
)";

// No version will ever be so high: such a number is damage.
constexpr int kVersionMax = 1000;

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
  // Fields that have the same few values in every database; SQLite takes a damaged one for a file it may only read.
  const int page_size = header[16] << 8 | header[17];
  const bool sane = (page_size == 1 || (page_size >= 512 && (page_size & (page_size - 1)) == 0)) && header[18] >= 1 && header[18] <= 2 &&
                    header[19] >= 1 && header[19] <= 2 && header[21] == 64 && header[22] == 32 && header[23] == 32;
  if (!sane) return NotADatabase(path);
  int version = 0;
  for (size_t i = 0; i < 4; ++i) version = version << 8 | header[kUserVersionOffset + i];
  if (version < 0 || version > kVersionMax) return NotADatabase(path);
  return version > static_cast<int>(known) ? Newer(path, version, known) : absl::OkStatus();
}

// Whether pages, indices and records are what was written.
bool IsSound(SQLite::Database& database, int version) {
  if (database.execAndGet("PRAGMA quick_check(1)").getString() != "ok") return false;
  if (version == 0) return database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
  if (!database.tableExists("job")) return true;
  if (database.execAndGet("PRAGMA integrity_check('job')").getString() != "ok") return false;
  if (version == 1) return true;
  SQLite::Statement rows(database, absl::StrCat("SELECT ", kJobColumns, " FROM job"));
  while (rows.executeStep()) {
    if (!IsIntact(rows)) return false;
  }
  return true;
}

// What a savepoint may have to undo stays in memory: SQLite would write a file of it, and unlink it, for each savepoint
// that changes more than 16 pages. Has no effect once the library is in use.
void KeepSavepointsInMemory() {
  static const int configured = sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, -1);
  static_cast<void>(configured);
}

void Migrate(SQLite::Database& database, const std::string& path, int version, const Migrations& migrations) {
  if (version > 0) {
    SQLite::Statement backup(database, "VACUUM INTO ?");
    backup.bind(1, absl::StrCat(path, ".backup-v", version, "-", time(nullptr)));
    backup.exec();
  }
  SQLite::Transaction transaction(database);
  for (size_t next = version; next < migrations.size(); ++next) database.exec(migrations[next]);
  database.exec(absl::StrCat("PRAGMA user_version = ", migrations.size()));
  YOKE_FAILPOINT("schema.commit.before");
  transaction.commit();
  YOKE_FAILPOINT("schema.commit.after");
}

}  // namespace

const Migrations& CurrentMigrations() {
  static const Migrations migrations = {kVersion1, kVersion2, kVersion3, kVersion4, kVersion5};
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

void UpgradeForReading(SQLite::Database& database) {
  try {
    if (database.execAndGet("PRAGMA user_version").getInt() == 1) database.exec(kVersion2);
  } catch (const SQLite::Exception&) {
    // Too damaged to be changed; what can be read will show.
  }
}

absl::StatusOr<std::unique_ptr<SQLite::Database>> OpenDatabase(const std::string& path, bool must_exist, const Migrations& migrations) {
  KeepSavepointsInMemory();
  YOKE_RETURN_IF_ERROR(CheckHeader(path, must_exist, migrations.size()));
  try {
    YOKE_FAILPOINT("schema.open.before");
    auto database = std::make_unique<SQLite::Database>(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, /*busy timeout ms=*/5000);
    const int version = database->execAndGet("PRAGMA user_version").getInt();
    if (version > static_cast<int>(migrations.size())) return Newer(path, version, migrations.size());
    if (!IsSound(*database, version)) return NotADatabase(path);
    database->exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    YOKE_FAILPOINT("schema.log.after");
    if (version < static_cast<int>(migrations.size())) Migrate(*database, path, version, migrations);
    // After it: a table that others refer to may be made anew.
    database->exec("PRAGMA foreign_keys = ON");
    return database;
  } catch (const SQLite::Exception& error) {
    if (error.getErrorCode() == SQLITE_NOTADB || error.getErrorCode() == SQLITE_CORRUPT) return NotADatabase(path);
    return ToStatus(error, absl::StrCat("cannot open ", path));
  }
}

}  // namespace yoke::store
