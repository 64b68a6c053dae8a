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

// What both an insertion and an update write, bound by name.
void BindJob(SQLite::Statement& statement, const jobs::JobRecord& job) {
  const std::string message = job.public_job.SerializeAsString();
  statement.bind(":id", job.id);
  statement.bind(":sequence", job.sequence);
  if (!job.request_id.empty()) statement.bind(":request_id", job.request_id);
  statement.bind(":request_hash", job.request_hash);
  statement.bind(":uid", job.uid);
  statement.bind(":user_set", absl::StrJoin(job.user_set, " "));
  statement.bind(":owner", job.public_job.owner());
  statement.bind(":state", static_cast<int>(job.public_job.state()));
  statement.bind(":priority", job.public_job.priority());
  statement.bind(":display_name", job.public_job.display_name());
  statement.bind(":stop_requested", job.stop_requested ? 1 : 0);
  statement.bind(":stop_reason", job.stop_reason);
  statement.bind(":stop_grace_seconds", job.stop_grace_seconds);
  statement.bindNoCopy(":message", message.data(), static_cast<int>(message.size()));
  statement.bind(":checksum", Checksum(job, message));
  const v1::Job& shown = job.public_job;
  if (!shown.array_job().empty()) {
    statement.bind(":array_id", jobs::ParseJobName(shown.array_job()).value_or(shown.array_job()));
    statement.bind(":array_index", shown.array_index());
  }
  statement.exec();
}

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

void InsertJob(Statements& statements, const jobs::JobRecord& job) {
  static constexpr char kSql[] =
                              "INSERT INTO job (id, sequence, owner, state, priority, display_name, request_id, request_hash, stop_requested, "
                              "stop_reason, stop_grace_seconds, uid, user_set, message, checksum, array_id, array_index) VALUES (:id, :sequence, :owner, "
                              ":state, :priority, :display_name, :request_id, :request_hash, :stop_requested, :stop_reason, :stop_grace_seconds, :uid, "
                              ":user_set, :message, :checksum, :array_id, :array_index)";
  const Statements::Use statement = statements.Get(kSql);
  BindJob(*statement, job);
}

void UpdateJob(Statements& statements, const jobs::JobRecord& job) {
  static constexpr char kSql[] =
                              "UPDATE job SET sequence = :sequence, owner = :owner, state = :state, priority = :priority, display_name = "
                              ":display_name, request_id = :request_id, request_hash = :request_hash, stop_requested = :stop_requested, stop_reason = "
                              ":stop_reason, stop_grace_seconds = :stop_grace_seconds, uid = :uid, user_set = :user_set, message = :message, checksum = "
                              ":checksum, array_id = :array_id, array_index = :array_index WHERE id = :id";
  const Statements::Use statement = statements.Get(kSql);
  BindJob(*statement, job);
}

int64_t AppendEvent(Statements& statements, jobs::JobRecord& job) {
  static constexpr char kLast[] = "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'event'";
  static constexpr char kAppend[] = "INSERT INTO event (sequence, job_id, message) VALUES (?, ?, ?)";
  int64_t sequence = 0;
  {
    const Statements::Use last = statements.Get(kLast);
    last->executeStep();
    sequence = last->getColumn(0).getInt64();
  }
  job.public_job.set_etag(absl::StrCat(sequence));
  // An array changes with each of its tasks; what a sweep is made of is read with the job itself.
  std::string message;
  if (job.public_job.has_array()) {
    v1::Job shown = job.public_job;
    shown.mutable_array()->clear_sweep();
    message = shown.SerializeAsString();
  } else {
    message = job.public_job.SerializeAsString();
  }
  const Statements::Use append = statements.Get(kAppend);
  append->bind(1, sequence);
  append->bindNoCopy(2, job.id);
  append->bindNoCopy(3, message.data(), static_cast<int>(message.size()));
  append->exec();
  return sequence;
}

}  // namespace yoke::store
