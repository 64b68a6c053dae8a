#pragma once

#include <functional>
#include <string>
#include <vector>

#include "client/cli/commands/shell.h"

namespace yoke::cli {

// Tries `change` on every job, says "job ID " and `said` of each that was changed, and prints these. The exit code is
// that of the first error.
int ChangeJobs(Shell& shell, const std::vector<std::string>& ids,
               const std::function<absl::StatusOr<v1::Job>(client::Client&, const std::string& id)>& change,
               const std::function<std::string(const v1::Job&)>& said);

}  // namespace yoke::cli
