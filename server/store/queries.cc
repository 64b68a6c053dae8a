#include "server/store/queries.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/os/failpoint.h"
#include "server/store/rows.h"

namespace yoke::store {
namespace {

using jobs::JobRecord;

absl::StatusOr<std::string> HolderOf(SQLite::Database& database, const std::string& device_uuid) {
  SQLite::Statement query(database, "SELECT job_id FROM lease WHERE device_uuid = ?");
  query.bind(1, device_uuid);
  if (!query.executeStep()) return absl::NotFoundError("free");
  return query.getColumn(0).getString();
}

}  // namespace

// One job by id or unique prefix, on whichever connection.
absl::StatusOr<JobRecord> FindJob(SQLite::Database& database, const std::string& prefix) {
  SQLite::Statement query(database, absl::StrCat("SELECT ", kJobColumns, " FROM job WHERE id >= ? AND id < ? LIMIT 2"));
  query.bind(1, prefix);
  query.bind(2, prefix + "\x7f");
  if (!query.executeStep()) return absl::NotFoundError(absl::StrCat("There is no job ", prefix, "."));
  YOKE_ASSIGN_OR_RETURN(JobRecord job, JobFromRow(query));
  if (job.id != prefix && query.executeStep()) {
    return absl::InvalidArgumentError(absl::StrCat("More than one job begins with ", prefix, ": give more characters of its id."));
  }
  return job;
}

absl::StatusOr<std::vector<JobRecord>> ReadJobs(SQLite::Statement& query) {
  std::vector<JobRecord> jobs;
  while (query.executeStep()) {
    YOKE_ASSIGN_OR_RETURN(JobRecord job, JobFromRow(query));
    jobs.push_back(std::move(job));
  }
  return jobs;
}

int64_t LastEvent(SQLite::Database& database) {
  return database.execAndGet("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'").getInt64();
}

absl::Status ChangeLeases(SQLite::Database& database, const JobRecord& job, const jobs::JobStore::LeaseChange& change) {
  for (const std::string& uuid : change.release) {
    YOKE_FAILPOINT("lease.release.before");
    SQLite::Statement statement(database, "DELETE FROM lease WHERE device_uuid = ? AND job_id = ?");
    statement.bind(1, uuid);
    statement.bind(2, job.id);
    statement.exec();
  }
  for (const std::string& uuid : change.quarantine) {
    SQLite::Statement statement(database, "UPDATE lease SET quarantined = 1, quarantine_reason = ? WHERE device_uuid = ? AND job_id = ?");
    statement.bind(1, change.quarantine_reason);
    statement.bind(2, uuid);
    statement.bind(3, job.id);
    statement.exec();
  }
  for (const std::string& uuid : change.take) {
    if (const auto holder = HolderOf(database, uuid); holder.ok()) {
      return absl::FailedPreconditionError(absl::StrCat("device ", uuid, " is held by jobs/", *holder));
    }
    SQLite::Statement statement(database, "INSERT INTO lease (device_uuid, job_id, attempt, quarantined, quarantine_reason) VALUES (?, ?, ?, 0, '')");
    statement.bind(1, uuid);
    statement.bind(2, job.id);
    statement.bind(3, job.public_job.attempts_size());
    YOKE_FAILPOINT("lease.take.before");
    statement.exec();
    YOKE_FAILPOINT("lease.take.after");
  }
  return absl::OkStatus();
}

Where ToWhere(const jobs::JobFilter& filter) {
  Where where;
  if (!filter.states.empty()) {
    absl::StrAppend(&where.sql, " AND state IN (", absl::StrJoin(filter.states, ",", [](std::string* out, v1::Job::State state) {
                      absl::StrAppend(out, static_cast<int>(state));
                    }), ")");
  }
  if (filter.owner) {
    absl::StrAppend(&where.sql, " AND owner = ?");
    where.values.push_back(*filter.owner);
  }
  if (filter.display_name) {
    absl::StrAppend(&where.sql, " AND display_name = ?");
    where.values.push_back(*filter.display_name);
  }
  return where;
}

}  // namespace yoke::store
