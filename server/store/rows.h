// Job records as rows.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <string>

#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"
#include "server/store/statements.h"

namespace yoke::store {

// In the order JobFromRow expects them.
inline constexpr char kJobColumns[] =
    "id, sequence, request_id, request_hash, stop_requested, stop_reason, stop_grace_seconds, uid, user_set, message, checksum";

// What StoredFromRow expects after these.
inline constexpr char kStoredColumns[] = "state, owner, display_name";

// DataLoss: the record is not what was written.
absl::StatusOr<jobs::JobRecord> JobFromRow(SQLite::Statement& row);
absl::StatusOr<jobs::StoredJob> StoredFromRow(SQLite::Statement& row);
// Whether JobFromRow would take it; cheaper.
bool IsIntact(SQLite::Statement& row);

// The number of the last change that was ever made.
int64_t LastEvent(Statements& statements);

struct Event {
  int64_t sequence = 0;
  std::string message;  // the job, encoded
};
// Gives the job the etag of this change and appends it to the changes.
Event AppendEvent(Statements& statements, jobs::JobRecord& job);
// `message`: the job, encoded.
void InsertJob(Statements& statements, const jobs::JobRecord& job, const std::string& message);
void UpdateJob(Statements& statements, const jobs::JobRecord& job, const std::string& message);

}  // namespace yoke::store
