// Watching a job until it has ended.
#pragma once

#include <set>
#include <string>

#include "client/cli/commands/shell.h"

namespace yoke::cli {

// Shows the job's log lines on stderr, on a terminal with a bar below them, and returns the ended job. `said` are
// lines that the user has seen already (the plan's banner and warnings); the log's first of each is left out. Survives
// restarts of the server. Cancelled when the user interrupts; the job goes on.
absl::StatusOr<v1::Job> FollowJob(Shell& shell, client::Client& client, const std::string& id, std::multiset<std::string> said);

}  // namespace yoke::cli
