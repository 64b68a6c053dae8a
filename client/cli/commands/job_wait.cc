#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/time/clock.h"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/duration.h"
#include "client/cli/commands/job_list.h"
#include "client/cli/output/text.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

struct WaitOptions {
  std::vector<std::string> ids;
  std::string timeout;
};

// The exit code of the first job, in the order given, that did not succeed.
absl::StatusOr<int> RunWait(Shell& shell, const WaitOptions& options) {
  absl::Time deadline = absl::InfiniteFuture();
  if (!options.timeout.empty()) {
    YOKE_ASSIGN_OR_RETURN(const absl::Duration timeout, ParseDuration("--timeout", options.timeout));
    deadline = absl::Now() + timeout;
  }
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  std::vector<v1::Job> jobs;
  int code = client::kOk;
  for (const std::string& id : options.ids) {
    YOKE_ASSIGN_OR_RETURN(v1::Job job, client->WaitJob(id, deadline - absl::Now()));
    if (code == client::kOk) code = client::ExitCodeOf(job);
    std::cerr << FailureText(job) << std::flush;
    jobs.push_back(std::move(job));
  }
  PrintJobs(shell, jobs);
  return code;
}

}  // namespace

void AddJobWait(CLI::App& job, Shell& shell) {
  CLI::App* command = job.add_subcommand("wait", "Wait until jobs have ended, then exit as they did");
  shell.AddOptions(*command);
  auto options = std::make_shared<WaitOptions>();
  command->add_option("ids", options->ids, "Ids, or the beginning of one")->required()->type_name("ID");
  command->add_option("--timeout", options->timeout, "Wait no longer than that, then exit with 7");
  command->callback(Guarded(shell, [&shell, options]() -> int {
    const absl::StatusOr<int> code = RunWait(shell, *options);
    return code.ok() ? *code : shell.Fail(code.status());
  }));
}

}  // namespace yoke::cli
