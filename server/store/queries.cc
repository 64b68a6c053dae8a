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
absl::Status CheckFree(Statements& statements, const std::string& device_uuid, int64_t share,
                       int64_t memory) {
  static constexpr char kHolders[] = "SELECT job_id, shared_bytes FROM lease WHERE device_uuid = ?";
  const Statements::Use query = statements.Get(kHolders);
  query->bind(1, device_uuid);
  int64_t taken = 0;
  while (query->executeStep()) {
    const int64_t shared = query->getColumn(1).getInt64();
    if (share <= 0 || shared <= 0) {
      return absl::FailedPreconditionError(absl::StrCat("device ", device_uuid, " is held by jobs/",
                                                        query->getColumn(0).getString()));
    }
    taken += shared;
  }
  if (share <= 0 || memory <= 0 || taken + share <= memory) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("device ", device_uuid, " has ", memory - taken, " bytes left to share, not ", share));
}

}  // namespace

absl::StatusOr<JobRecord> FindJob(Statements& statements, const std::string& prefix) {
  static const std::string kFind =
      absl::StrCat("SELECT ", kJobColumns, " FROM job WHERE id >= ? AND id < ? LIMIT 2");
  const Statements::Use query = statements.Get(kFind.c_str());
  query->bind(1, prefix);
  query->bind(2, prefix + "\x7f");
  if (!query->executeStep())
    return absl::NotFoundError(absl::StrCat("There is no job ", prefix, "."));
  YOKE_ASSIGN_OR_RETURN(JobRecord job, JobFromRow(*query));
  if (job.id != prefix && query->executeStep()) {
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

absl::StatusOr<std::vector<jobs::JobEvent>> ReadEvents(Statements& statements, int64_t sequence,
                                                       int limit) {
  static constexpr char kOldest[] = "SELECT coalesce(min(sequence), 0) FROM event";
  static constexpr char kAfter[] =
      "SELECT sequence, message FROM event WHERE sequence > ? ORDER BY sequence LIMIT ?";
  if (sequence < 0 || sequence > LastEvent(statements) ||
      sequence + 1 < statements.Number(kOldest)) {
    return absl::OutOfRangeError("that position is no longer kept: list the jobs again and watch from there");
  }
  std::vector<jobs::JobEvent> events;
  const Statements::Use query = statements.Get(kAfter);
  query->bind(1, sequence);
  query->bind(2, limit);
  while (query->executeStep()) {
    jobs::JobEvent event;
    event.sequence = query->getColumn(0).getInt64();
    const SQLite::Column message = query->getColumn(1);
    if (!event.job.ParseFromArray(message.getBlob(), message.getBytes())) return absl::DataLossError("a stored change is damaged");
    events.push_back(std::move(event));
  }
  return events;
}

absl::Status ChangeLeases(Statements& statements, const JobRecord& job,
                          const jobs::JobStore::LeaseChange& change) {
  static constexpr char kRelease[] = "DELETE FROM lease WHERE device_uuid = ? AND job_id = ?";
  static constexpr char kQuarantine[] =
      "UPDATE lease SET quarantined = 1, quarantine_reason = ? WHERE device_uuid = ? AND job_id = "
      "?";
  static constexpr char kTake[] =
      "INSERT INTO lease (device_uuid, job_id, attempt, quarantined, quarantine_reason, "
      "shared_bytes) VALUES (?, ?, ?, 0, '', ?)";
  for (const std::string& uuid : change.release) {
    YOKE_FAILPOINT("lease.release.before");
    const Statements::Use release = statements.Get(kRelease);
    release->bind(1, uuid);
    release->bind(2, job.id);
    release->exec();
  }
  for (const std::string& uuid : change.quarantine) {
    const Statements::Use quarantine = statements.Get(kQuarantine);
    quarantine->bind(1, change.quarantine_reason);
    quarantine->bind(2, uuid);
    quarantine->bind(3, job.id);
    quarantine->exec();
  }
  const int64_t share = job.public_job.scheduling().share_memory_bytes();
  for (const std::string& uuid : change.take) {
    const auto memory = change.memory_bytes.find(uuid);
    YOKE_RETURN_IF_ERROR(CheckFree(statements, uuid, share,
                                   memory == change.memory_bytes.end() ? 0 : memory->second));
    const Statements::Use take = statements.Get(kTake);
    take->bind(1, uuid);
    take->bind(2, job.id);
    take->bind(3, job.public_job.attempts_size());
    take->bind(4, share);
    YOKE_FAILPOINT("lease.take.before");
    take->exec();
    YOKE_FAILPOINT("lease.take.after");
  }
  return absl::OkStatus();
}

std::vector<jobs::Lease> ReadLeases(Statements& statements) {
  static constexpr char kLeases[] =
      "SELECT device_uuid, job_id, attempt, quarantined, quarantine_reason, shared_bytes FROM "
      "lease ORDER BY device_uuid, job_id";
  std::vector<jobs::Lease> leases;
  const Statements::Use query = statements.Get(kLeases);
  while (query->executeStep()) {
    leases.push_back({query->getColumn(0).getString(), query->getColumn(1).getString(),
                      query->getColumn(2).getInt(), query->getColumn(3).getInt() != 0,
                      query->getColumn(4).getString(), query->getColumn(5).getInt64()});
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
