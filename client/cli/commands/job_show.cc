#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/job_list.h"
#include "client/cli/output/text.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

absl::Status Run(Shell& shell, const std::vector<std::string>& ids) {
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  std::vector<v1::Job> jobs;
  for (const std::string& id : ids) {
    YOKE_ASSIGN_OR_RETURN(v1::Job job, client->GetJob(id));
    jobs.push_back(std::move(job));
  }
  if (PrintJobs(shell, jobs)) return absl::OkStatus();
  for (const v1::Job& job : jobs) std::cout << (&job == &jobs[0] ? "" : "\n") << JobDetails(job);
  return absl::OkStatus();
}

}  // namespace

void AddJobShow(CLI::App& job, Shell& shell) {
  CLI::App* command = job.add_subcommand("show", "Everything about a job");
  shell.AddOptions(*command);
  auto ids = std::make_shared<std::vector<std::string>>();
  command->add_option("ids", *ids, "Ids, or the beginning of one")->required()->type_name("ID");
  command->callback(Guarded(shell, [&shell, ids]() -> int {
    const absl::Status status = Run(shell, *ids);
    return status.ok() ? client::kOk : shell.Fail(status);
  }));
}

}  // namespace yoke::cli
