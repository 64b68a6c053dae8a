// The flags of a submission that say when the job may start and how long it may run.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "yoke/v1/job.pb.h"

namespace CLI {
class App;
}

namespace yoke::cli {

struct SchedulingOptions {
  bool hold = false, preemptible = false;
  std::vector<std::string> after, after_not_ok, after_any;  // ids of jobs
  std::string time_limit, signal_before, queue, share_memory;
};

void AddSchedulingOptions(CLI::App& command, SchedulingOptions& options);

// Puts them into the request. InvalidArgument, naming the flag, for what is no duration.
absl::Status ApplyScheduling(const SchedulingOptions& options, v1::CreateJobRequest& request);

}  // namespace yoke::cli
