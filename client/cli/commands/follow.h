// Watching a job until it has ended.
#pragma once

#include <string>

#include "client/cli/commands/shell.h"

namespace yoke::cli {

// Shows the job's log lines and progress on stderr and returns the ended job. Survives restarts of the
// server. Cancelled when the user interrupts; the job goes on.
absl::StatusOr<v1::Job> FollowJob(Shell& shell, client::Client& client, const std::string& id);

}  // namespace yoke::cli
