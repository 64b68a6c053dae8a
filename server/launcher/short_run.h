// Runs a worker for one question and takes its answer from its output, within a time limit.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace yoke::launcher {

struct ShortRun {
  int exit_code = 0;
  int signal = 0;
  std::string output;  // stdout, at most 4 MiB
  std::string talk;    // the end of stderr
};

// Ends what questions of an earlier life of the daemon left in `root`: a folder each, named by its run id.
void EndShortRuns(const std::string& root);

// Blocks. DeadlineExceeded after `limit`, when the process and all it started (found by `run_id`) are killed.
// `folder`: exists and is the caller's; output files go there.
absl::StatusOr<ShortRun> RunShortly(const std::vector<std::string>& argv, const std::string& folder, const std::string& run_id, absl::Duration limit);

}  // namespace yoke::launcher
