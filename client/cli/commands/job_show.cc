#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/job_list.h"
#include "client/cli/output/text.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

constexpr int kTasksShown = 50;

absl::Status RunShow(Shell& shell, const std::vector<std::string>& ids) {
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  std::vector<v1::Job> jobs;
  for (const std::string& id : ids) {
    YOKE_ASSIGN_OR_RETURN(v1::Job job, client->GetJob(id));
    jobs.push_back(std::move(job));
  }
  if (PrintJobs(shell, jobs)) return absl::OkStatus();
  for (const v1::Job& job : jobs) {
    std::cout << (&job == &jobs[0] ? "" : "\n") << JobDetails(job);
    if (!job.has_array() || job.array().made() == 0) continue;
    YOKE_ASSIGN_OR_RETURN(const v1::ListJobsResponse tasks,
                          client->ListJobs("", kTasksShown, job.name()));
    std::cout << "\n"
              << JobTable({tasks.jobs().begin(), tasks.jobs().end()}, absl::Now(), false,
                          shell.out_terminal().width());
    if (tasks.jobs_size() < job.array().made())
      shell.Say(
          absl::StrCat("these are the newest; all: yoke jobs array=", client::JobId(job.name())));
  }
  return absl::OkStatus();
}

}  // namespace

void AddJobShow(CLI::App& job, Shell& shell) {
  CLI::App* command = job.add_subcommand("show", "Everything about a job");
  shell.AddOptions(*command);
  auto ids = std::make_shared<std::vector<std::string>>();
  command->add_option("ids", *ids, "Ids, or the beginning of one")->required()->type_name("ID");
  command->callback(Guarded(shell, [&shell, ids]() -> int {
    const absl::Status status = RunShow(shell, *ids);
    return status.ok() ? client::kOk : shell.Fail(status);
  }));
}

}  // namespace yoke::cli
