#include "server/store/reconcile.h"

#include <algorithm>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/jobs/state_machine.h"
#include "server/store/rows.h"
#include "server/store/schema.h"

namespace yoke::store {
namespace {

using jobs::JobRecord;

int64_t ChangeNumber(const v1::Job& job) {
  int64_t number = 0;
  return absl::SimpleAtoi(job.etag(), &number) ? number : 0;
}

std::string RowsQuery() {
  return absl::StrCat("SELECT ", kJobColumns, " FROM job WHERE id = ?1 UNION ALL SELECT ", kJobColumns,
                      " FROM job WHERE owner = ?2 AND request_id = ?3 AND id <> ?1");
}

// What the database has of this job, by its id or its request. `query`: RowsQuery, prepared.
absl::StatusOr<std::vector<JobRecord>> Rows(SQLite::Statement& query, const JobRecord& job) {
  query.reset();
  query.bind(1, job.id);
  query.bind(2, job.public_job.owner());
  query.bind(3, job.request_id);
  std::vector<JobRecord> rows;
  while (query.executeStep()) {
    YOKE_ASSIGN_OR_RETURN(JobRecord row, JobFromRow(query));
    rows.push_back(std::move(row));
  }
  return rows;
}

void FreeSequence(SQLite::Database& database, JobRecord& job) {
  SQLite::Statement taken(database, "SELECT 1 FROM job WHERE sequence = ?");
  taken.bind(1, job.sequence);
  if (job.sequence > 0 && !taken.executeStep()) return;
  job.sequence = database.execAndGet("SELECT coalesce(max(sequence), 0) + 1 FROM job").getInt64();
}

void FollowLeases(SQLite::Database& database, const JobRecord& job) {
  const v1::Job& shown = job.public_job;
  const bool live = jobs::HasLiveAttempt(shown.state()) && shown.attempts_size() > 0;
  if (!live) {
    SQLite::Statement release(database, "DELETE FROM lease WHERE job_id = ? AND quarantined = 0");
    release.bind(1, job.id);
    release.exec();
    return;
  }
  for (const std::string& uuid : shown.attempts(shown.attempts_size() - 1).device_uuids()) {
    SQLite::Statement take(database,
                           "INSERT OR IGNORE INTO lease (device_uuid, job_id, attempt, "
                           "quarantined, quarantine_reason, shared_bytes) "
                           "SELECT ?1, ?2, ?3, 0, '', ?4 WHERE NOT EXISTS (SELECT 1 FROM lease "
                           "WHERE device_uuid = ?1 AND (shared_bytes = 0) <> (?4 = 0))");
    take.bind(1, uuid);
    take.bind(2, job.id);
    take.bind(3, shown.attempts_size());
    take.bind(4, shown.scheduling().share_memory_bytes());
    take.exec();
  }
}

// New changes are numbered above every number that was ever given out.
void NumberChangesAbove(SQLite::Database& database, int64_t number) {
  SQLite::Statement has(database, "SELECT seq FROM sqlite_sequence WHERE name = 'event'");
  const bool there = has.executeStep();
  if (there && has.getColumn(0).getInt64() >= number) return;
  SQLite::Statement set(database,
                        there ? "UPDATE sqlite_sequence SET seq = ? WHERE name = 'event'"
                              : "INSERT INTO sqlite_sequence (seq, name) VALUES (?, 'event')");
  set.bind(1, number);
  set.exec();
}

absl::Status Take(Statements& statements, SQLite::Statement& query, JobRecord job, Reconciled& done) {
  YOKE_ASSIGN_OR_RETURN(const std::vector<JobRecord> rows, Rows(query, job));
  if (!rows.empty() &&
      (rows[0].id != job.id || ChangeNumber(rows[0].public_job) >= ChangeNumber(job.public_job)))
    return absl::OkStatus();
  if (rows.empty()) {
    FreeSequence(statements.database(), job);
    InsertJob(statements, job, AppendEvent(statements, job).message);
    ++done.created;
  } else {
    job.sequence = rows[0].sequence;
    UpdateJob(statements, job, AppendEvent(statements, job).message);
    ++done.advanced;
  }
  FollowLeases(statements.database(), job);
  return absl::OkStatus();
}

// The record without what the journal leaves out.
std::string Kept(const JobRecord& job) {
  v1::Job kept = job.public_job;
  kept.clear_progress();
  kept.clear_etag();
  kept.clear_message();
  kept.clear_reason();
  kept.clear_warnings();
  kept.clear_banner();
  if (kept.has_array()) {
    // Made again from the rows of its tasks.
    v1::Array& array = *kept.mutable_array();
    array.clear_queued();
    array.clear_running();
    array.clear_succeeded();
    array.clear_failed();
    array.clear_cancelled();
    kept.clear_start_time();
  }
  return kept.SerializeAsString();
}

}  // namespace

absl::StatusOr<Reconciled> Reconcile(SQLite::Database& database,
                                     const std::vector<JobRecord>& journalled) {
  Reconciled done;
  try {
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    int64_t highest = 0;
    for (const JobRecord& job : journalled)
      highest = std::max(highest, ChangeNumber(job.public_job));
    NumberChangesAbove(database, highest);
    {
      Statements statements(database);
      SQLite::Statement query(database, RowsQuery());
      for (const JobRecord& job : journalled) YOKE_RETURN_IF_ERROR(Take(statements, query, job, done));
    }
    transaction.commit();
  } catch (const SQLite::Exception& error) {
    return ToStatus(error, "cannot bring the database up to the journal");
  }
  return done;
}

bool IsJournalled(const JobRecord& before, const JobRecord& after) {
  return before.stop_requested != after.stop_requested || before.stop_reason != after.stop_reason ||
         before.stop_grace_seconds != after.stop_grace_seconds || Kept(before) != Kept(after);
}

bool IsChanged(const JobRecord& before, const JobRecord& after) {
  return IsJournalled(before, after) ||
         before.public_job.SerializeAsString() != after.public_job.SerializeAsString();
}

}  // namespace yoke::store
