// Printing the jobs that `yoke job show|cancel|wait ID...` name.
#pragma once

#include <vector>

#include "client/cli/commands/shell.h"

namespace yoke::cli {

// One job is printed as a Job, several as a ListJobsResponse; returns false for the formats for people.
bool PrintJobs(const Shell& shell, const std::vector<v1::Job>& jobs);

}  // namespace yoke::cli
