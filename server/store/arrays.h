// Rows of arrays and their tasks.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"

namespace yoke::store {

// One job by its id or a unique prefix. NotFound, InvalidArgument.
absl::StatusOr<jobs::JobRecord> FindJob(SQLite::Database& database, const std::string& prefix);

// The tasks of an array that have not ended, by index.
absl::StatusOr<std::vector<jobs::JobRecord>> OpenTasks(SQLite::Database& database,
                                                       const std::string& array_id);

// Makes the counts of every open array those of the rows there are; what of it changed. A task that
// was made and of which nothing is left counts as failed: it is never made again.
absl::StatusOr<std::vector<jobs::JobRecord>> RecountArrays(SQLite::Database& database);

}  // namespace yoke::store
