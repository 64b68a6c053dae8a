// What the store asks of its tables, on whichever connection.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"

namespace yoke::store {

// One job by id or unique prefix. NotFound; InvalidArgument if ambiguous.
absl::StatusOr<jobs::JobRecord> FindJob(SQLite::Database& database, const std::string& prefix);
// All rows of a query for kJobColumns.
absl::StatusOr<std::vector<jobs::JobRecord>> ReadJobs(SQLite::Statement& query);

// The number of the last change that was ever made.
int64_t LastEvent(SQLite::Database& database);

// FailedPrecondition: a device that the job shall take is held by another.
absl::Status ChangeLeases(SQLite::Database& database, const jobs::JobRecord& job, const jobs::JobStore::LeaseChange& change);

// The WHERE clause of a filter, and its values in order.
struct Where {
  std::string sql = "1";
  std::vector<std::string> values;
};
Where ToWhere(const jobs::JobFilter& filter);

}  // namespace yoke::store
