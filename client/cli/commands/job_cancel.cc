#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/duration.h"
#include "client/cli/commands/job_list.h"
#include "client/cli/output/text.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

struct CancelOptions {
  std::vector<std::string> ids;
  std::string grace, comment;
};

// Every job is tried; the first error decides the exit code.
absl::Status Run(Shell& shell, const CancelOptions& options) {
  absl::Duration grace = absl::Seconds(-1);  // the server's default
  if (!options.grace.empty()) {
    YOKE_ASSIGN_OR_RETURN(grace, ParseDuration("--grace", options.grace));
  }
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  std::vector<v1::Job> jobs;
  absl::Status first;
  for (const std::string& id : options.ids) {
    absl::StatusOr<v1::Job> job = client->CancelJob(id, grace, options.comment);
    if (job.ok()) {
      shell.Say(absl::StrCat("job ", client::JobId(job->name()), " is ", StateWord(*job)));
      jobs.push_back(*std::move(job));
    } else if (first.ok()) {
      first = job.status();
    } else {
      shell.Fail(job.status());
    }
  }
  if (!jobs.empty()) PrintJobs(shell, jobs);
  return first;
}

}  // namespace

void AddJobCancel(CLI::App& job, Shell& shell) {
  CLI::App* command = job.add_subcommand("cancel", "Ask jobs to stop: they finish their step, save and end");
  shell.AddOptions(*command);
  auto options = std::make_shared<CancelOptions>();
  command->add_option("ids", options->ids, "Ids, or the beginning of one")->required()->type_name("ID");
  command->add_option("--grace", options->grace, "Time to save and end before they are killed (10s)");
  command->add_option("--comment", options->comment, "Why, for the record");
  command->callback(Guarded(shell, [&shell, options]() -> int {
    const absl::Status status = Run(shell, *options);
    return status.ok() ? client::kOk : shell.Fail(status);
  }));
}

}  // namespace yoke::cli
