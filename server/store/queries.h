// What the store asks of its tables, on whichever connection.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"
#include "server/store/statements.h"

namespace yoke::store {

// One job by id or unique prefix. NotFound; InvalidArgument if ambiguous.
absl::StatusOr<jobs::JobRecord> FindJob(Statements& statements, const std::string& prefix);
// All rows of a query for kJobColumns.
absl::StatusOr<std::vector<jobs::JobRecord>> ReadJobs(SQLite::Statement& query);

// The states of jobs that have not ended, for IN.
std::string OpenStates();
// The jobs that have not ended, by sequence.
absl::StatusOr<std::vector<jobs::JobRecord>> ReadOpen(SQLite::Database& database);

// Changes after `sequence`, at most `limit`. OutOfRange: it is no longer kept, or was never reached.
absl::StatusOr<std::vector<jobs::JobEvent>> ReadEvents(Statements& statements, int64_t sequence,
                                                       int limit);

// All leases, by device and job.
std::vector<jobs::Lease> ReadLeases(Statements& statements);
// FailedPrecondition: a device that the job shall take is held by another, or has too little memory left to share.
absl::Status ChangeLeases(Statements& statements, const jobs::JobRecord& job,
                          const jobs::JobStore::LeaseChange& change);

// The WHERE clause of a filter, and its values in order.
struct Where {
  std::string sql = "1";
  std::vector<std::string> values;
};
Where ToWhere(const jobs::JobFilter& filter);

}  // namespace yoke::store
