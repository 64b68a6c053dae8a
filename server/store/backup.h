// Consistent copies of the database while it is in use.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace yoke::store {

// Writes the database as it is at one moment to the new file `to`, durable when it returns OK; jobs
// go on being accepted meanwhile. AlreadyExists: there is a file of this name; it is never
// replaced. After an error there is none.
absl::Status BackUp(const std::string& database_path, const std::string& to);

// The copies in backups/ beside the database, newest first.
std::vector<std::string> AutomaticBackups(const std::string& database_path);
// Adds one named by `epoch_seconds` and removes all but the newest `keep`. Returns its path.
absl::StatusOr<std::string> BackUpAutomatically(const std::string& database_path,
                                                int64_t epoch_seconds, int keep = 3);

}  // namespace yoke::store
