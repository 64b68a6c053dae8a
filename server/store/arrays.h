// Rows of arrays and their tasks.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"
#include "server/store/statements.h"

namespace yoke::store {

// An array with those of its tasks that have not ended. NotFound; FailedPrecondition: it is no array.
absl::StatusOr<jobs::ArrayWithTasks> ReadArray(Statements& statements, const std::string& id);

struct ArrayChange {
  jobs::JobRecord before, after;
};
// What becomes of the array of a task that was changed from `before`; nothing where no count does.
absl::StatusOr<std::optional<ArrayChange>> FollowInArray(Statements& statements,
                                                         const jobs::JobRecord& before,
                                                         const jobs::JobRecord& task);

// All open jobs, once the counts of every open array were made those of the rows there are. A task
// that was made and of which nothing is left counts as failed: it is never made again.
absl::StatusOr<std::vector<jobs::JobRecord>> RecountOpen(SQLite::Database& database);

}  // namespace yoke::store
