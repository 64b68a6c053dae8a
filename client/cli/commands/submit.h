// Submitting a job: what train, val, label, process and selftest have in common.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/cli/commands/scheduling_options.h"
#include "client/cli/commands/shell.h"

namespace yoke::cli {

struct SubmitOptions {
  std::vector<std::string> words;  // key=value
  std::string name;
  int priority = 0;
  SchedulingOptions scheduling;
  bool follow = false, wait = false, dry_run = false, no_check = false;
};

// Adds the words and flags to a subcommand, and the task's keys to its help.
std::shared_ptr<SubmitOptions> AddSubmitOptions(CLI::App& command, const std::string& task);

// What the words and flags ask for. `project`: where project= wants a link to the run folder; else empty.
absl::StatusOr<v1::CreateJobRequest> BuildRequest(const std::string& task, const SubmitOptions& options, std::string& project);

// Reads the words, checks them with the server, creates the job, prints its id on stdout and everything else
// on stderr; then follows or waits if that was asked. Returns the exit code.
int Submit(Shell& shell, const std::string& task, const SubmitOptions& options);

}  // namespace yoke::cli
