#include "server/store/rows.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/crc32c.h"
#include "server/jobs/ids.h"

namespace yoke::store {
namespace {

// Of all that is not in the message, as one text, and of the message: SQLite itself does not notice a changed value.
int64_t Checksum(const jobs::JobRecord& job, std::string_view message) {
  const std::string columns = absl::StrJoin(
      {job.id, absl::StrCat(job.sequence), job.request_id, job.request_hash, absl::StrCat(job.stop_requested), job.stop_reason,
       absl::StrCat(job.stop_grace_seconds), absl::StrCat(job.uid), absl::StrJoin(job.user_set, " ")},
      "\n");
  return Crc32c(message, Crc32c(columns));
}

std::string_view Message(SQLite::Statement& row) {
  const SQLite::Column message = row.getColumn(9);
  return {static_cast<const char*>(message.getBlob()), static_cast<size_t>(message.getBytes())};
}

// All but the message.
jobs::JobRecord ColumnsOf(SQLite::Statement& row) {
  jobs::JobRecord job;
  job.id = row.getColumn(0).getString();
  job.sequence = row.getColumn(1).getInt64();
  job.request_id = row.getColumn(2).getString();
  job.request_hash = row.getColumn(3).getString();
  job.stop_requested = row.getColumn(4).getInt() != 0;
  job.stop_reason = row.getColumn(5).getString();
  job.stop_grace_seconds = row.getColumn(6).getDouble();
  job.uid = row.getColumn(7).getInt64();
  const std::string keys = row.getColumn(8).getString();
  if (!keys.empty()) job.user_set = absl::StrSplit(keys, ' ');
  return job;
}

bool MatchesSum(SQLite::Statement& row, const jobs::JobRecord& columns) {
  const SQLite::Column checksum = row.getColumn(10);
  if (!checksum.isNull()) return checksum.getInt64() == Checksum(columns, Message(row));
  // Version 1 wrote none.
  v1::Job job;
  const std::string_view message = Message(row);
  return job.ParseFromArray(message.data(), static_cast<int>(message.size()));
}

absl::Status Damaged(const std::string& id) {
  return absl::DataLossError(absl::StrCat("the record of job ", id, " is damaged"));
}

// What both an insertion and an update write, in the order of kInsert and kUpdate.
void WriteJob(SQLite::Statement& statement, const jobs::JobRecord& job,
              const std::string& message) {
  const v1::Job& shown = job.public_job;
  const std::string user_set = absl::StrJoin(job.user_set, " ");
  const bool task = !shown.array_job().empty();
  const std::string array_id =
      task ? jobs::ParseJobName(shown.array_job()).value_or(shown.array_job()) : "";
  statement.bindNoCopy(1, job.id);
  statement.bind(2, job.sequence);
  statement.bindNoCopy(3, shown.owner());
  statement.bind(4, static_cast<int>(shown.state()));
  statement.bind(5, shown.priority());
  statement.bindNoCopy(6, shown.display_name());
  if (!job.request_id.empty()) statement.bindNoCopy(7, job.request_id);
  statement.bindNoCopy(8, job.request_hash);
  statement.bind(9, job.stop_requested ? 1 : 0);
  statement.bindNoCopy(10, job.stop_reason);
  statement.bind(11, job.stop_grace_seconds);
  statement.bind(12, job.uid);
  statement.bindNoCopy(13, user_set);
  statement.bindNoCopy(14, message.data(), static_cast<int>(message.size()));
  statement.bind(15, Checksum(job, message));
  if (task) {
    statement.bindNoCopy(16, array_id);
    statement.bind(17, shown.array_index());
  }
  statement.exec();
}

constexpr char kInsert[] =
    "INSERT INTO job (id, sequence, owner, state, priority, display_name, request_id, "
    "request_hash, stop_requested, stop_reason, stop_grace_seconds, uid, user_set, message, "
    "checksum, array_id, array_index) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
constexpr char kUpdate[] =
    "UPDATE job SET sequence = ?2, owner = ?3, state = ?4, priority = ?5, display_name = ?6, "
    "request_id = ?7, request_hash = ?8, stop_requested = ?9, stop_reason = ?10, "
    "stop_grace_seconds = ?11, uid = ?12, user_set = ?13, message = ?14, checksum = ?15, "
    "array_id = ?16, array_index = ?17 WHERE id = ?1";

}  // namespace

absl::StatusOr<jobs::JobRecord> JobFromRow(SQLite::Statement& row) {
  jobs::JobRecord job = ColumnsOf(row);
  const std::string_view message = Message(row);
  if (!MatchesSum(row, job) ||
      !job.public_job.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return Damaged(job.id);
  }
  return job;
}

absl::StatusOr<jobs::StoredJob> StoredFromRow(SQLite::Statement& row) {
  const jobs::JobRecord columns = ColumnsOf(row);
  if (!MatchesSum(row, columns)) return Damaged(columns.id);
  return jobs::StoredJob{columns.sequence, static_cast<v1::Job::State>(row.getColumn(11).getInt()),
                         row.getColumn(12).getString(), row.getColumn(13).getString(),
                         std::string(Message(row))};
}

bool IsIntact(SQLite::Statement& row) { return MatchesSum(row, ColumnsOf(row)); }

void InsertJob(Statements& statements, const jobs::JobRecord& job, const std::string& message) {
  WriteJob(*statements.Get(kInsert), job, message);
}

void UpdateJob(Statements& statements, const jobs::JobRecord& job, const std::string& message) {
  WriteJob(*statements.Get(kUpdate), job, message);
}

int64_t LastEvent(Statements& statements) {
  static constexpr char kLast[] =
      "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'";
  return statements.Number(kLast);
}

Event AppendEvent(Statements& statements, jobs::JobRecord& job) {
  static constexpr char kAppend[] =
      "INSERT INTO event (sequence, job_id, message) VALUES (?, ?, ?)";
  Event event;
  event.sequence = LastEvent(statements) + 1;
  job.public_job.set_etag(absl::StrCat(event.sequence));
  event.message = job.public_job.SerializeAsString();
  // An array changes with each of its tasks; what a sweep is made of is read with the job itself.
  std::string without_sweep;
  if (job.public_job.has_array()) {
    v1::Job shown = job.public_job;
    shown.mutable_array()->clear_sweep();
    without_sweep = shown.SerializeAsString();
  }
  const std::string& told = job.public_job.has_array() ? without_sweep : event.message;
  const Statements::Use append = statements.Get(kAppend);
  append->bind(1, event.sequence);
  append->bindNoCopy(2, job.id);
  append->bindNoCopy(3, told.data(), static_cast<int>(told.size()));
  append->exec();
  return event;
}

}  // namespace yoke::store
