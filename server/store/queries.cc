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

// Whether a device can be leased, alone or for a share of it.
absl::Status CheckFree(SQLite::Database& database, const std::string& device_uuid, int64_t share, int64_t memory) {
  SQLite::Statement query(database, "SELECT job_id, shared_bytes FROM lease WHERE device_uuid = ?");
  query.bind(1, device_uuid);
  int64_t taken = 0;
  while (query.executeStep()) {
    const int64_t shared = query.getColumn(1).getInt64();
    if (share <= 0 || shared <= 0) {
      return absl::FailedPreconditionError(absl::StrCat("device ", device_uuid, " is held by jobs/", query.getColumn(0).getString()));
    }
    taken += shared;
  }
  if (share <= 0 || memory <= 0 || taken + share <= memory) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("device ", device_uuid, " has ", memory - taken, " bytes left to share, not ", share));
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

std::string OpenStates() {
  using v1::Job;
  return absl::StrCat("(", absl::StrJoin({static_cast<int>(Job::QUEUED), static_cast<int>(Job::HELD), static_cast<int>(Job::STARTING),
                                          static_cast<int>(Job::RUNNING), static_cast<int>(Job::STOPPING)}, ","), ")");
}

absl::StatusOr<std::vector<JobRecord>> ReadOpen(SQLite::Database& database) {
  // From index to table, in the table's own order: nothing but numbers is sorted.
  SQLite::Statement query(database, absl::StrCat("SELECT ", kJobColumns, " FROM job WHERE sequence IN (SELECT sequence FROM job WHERE state IN ",
                                                 OpenStates(), ") ORDER BY sequence"));
  return ReadJobs(query);
}

absl::StatusOr<std::vector<jobs::JobEvent>> ReadEvents(SQLite::Database& database, int64_t sequence, int limit) {
  const int64_t oldest = database.execAndGet("SELECT coalesce(min(sequence), 0) FROM event").getInt64();
  if (sequence < 0 || sequence > LastEvent(database) || sequence + 1 < oldest) {
    return absl::OutOfRangeError("that position is no longer kept: list the jobs again and watch from there");
  }
  std::vector<jobs::JobEvent> events;
  SQLite::Statement query(database, "SELECT sequence, message FROM event WHERE sequence > ? ORDER BY sequence LIMIT ?");
  query.bind(1, sequence);
  query.bind(2, limit);
  while (query.executeStep()) {
    jobs::JobEvent event;
    event.sequence = query.getColumn(0).getInt64();
    const SQLite::Column message = query.getColumn(1);
    if (!event.job.ParseFromArray(message.getBlob(), message.getBytes())) return absl::DataLossError("a stored change is damaged");
    events.push_back(std::move(event));
  }
  return events;
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
  const int64_t share = job.public_job.scheduling().share_memory_bytes();
  for (const std::string& uuid : change.take) {
    const auto memory = change.memory_bytes.find(uuid);
    YOKE_RETURN_IF_ERROR(CheckFree(database, uuid, share, memory == change.memory_bytes.end() ? 0 : memory->second));
    SQLite::Statement statement(database,
                                "INSERT INTO lease (device_uuid, job_id, attempt, quarantined, quarantine_reason, shared_bytes) "
                                "VALUES (?, ?, ?, 0, '', ?)");
    statement.bind(1, uuid);
    statement.bind(2, job.id);
    statement.bind(3, job.public_job.attempts_size());
    statement.bind(4, share);
    YOKE_FAILPOINT("lease.take.before");
    statement.exec();
    YOKE_FAILPOINT("lease.take.after");
  }
  return absl::OkStatus();
}

std::vector<jobs::Lease> ReadLeases(SQLite::Database& database) {
  std::vector<jobs::Lease> leases;
  SQLite::Statement query(database,
                          "SELECT device_uuid, job_id, attempt, quarantined, quarantine_reason, shared_bytes FROM lease ORDER BY device_uuid, job_id");
  while (query.executeStep()) {
    leases.push_back({query.getColumn(0).getString(), query.getColumn(1).getString(), query.getColumn(2).getInt(), query.getColumn(3).getInt() != 0,
                      query.getColumn(4).getString(), query.getColumn(5).getInt64()});
  }
  return leases;
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
  if (filter.array && filter.array->empty()) {
    absl::StrAppend(&where.sql, " AND array_id IS NULL");
  } else if (filter.array) {
    absl::StrAppend(&where.sql, " AND array_id = ?");
    where.values.push_back(*filter.array);
  }
  return where;
}

}  // namespace yoke::store
