// yoke job hold, release, requeue, priority: each job is tried, the first error decides the exit code.
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/commands/change_jobs.h"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/duration.h"
#include "client/cli/output/text.h"

namespace yoke::cli {
namespace {

std::string StateAndPriority(const v1::Job& job) {
  return absl::StrCat("is ", StateWord(job), ", priority ", job.priority());
}

CLI::App* AddChange(CLI::App& job, Shell& shell, const char* name, const char* help, std::vector<std::string>& ids) {
  CLI::App* command = job.add_subcommand(name, help);
  shell.AddOptions(*command);
  command->add_option("ids", ids, "Ids, or the beginning of one")->required()->type_name("ID");
  return command;
}

}  // namespace

void AddJobHold(CLI::App& job, Shell& shell) {
  auto ids = std::make_shared<std::vector<std::string>>();
  AddChange(job, shell, "hold", "Keep waiting jobs from starting", *ids)->callback(Guarded(shell, [&shell, ids] {
    return ChangeJobs(shell, *ids, [](client::Client& client, const std::string& id) { return client.HoldJob(id); }, StateAndPriority);
  }));
}

void AddJobRelease(CLI::App& job, Shell& shell) {
  auto ids = std::make_shared<std::vector<std::string>>();
  AddChange(job, shell, "release", "Let held jobs wait for their turn again", *ids)->callback(Guarded(shell, [&shell, ids] {
    return ChangeJobs(shell, *ids, [](client::Client& client, const std::string& id) { return client.ReleaseJob(id); }, StateAndPriority);
  }));
}

void AddJobRequeue(CLI::App& job, Shell& shell) {
  struct Options {
    std::vector<std::string> ids;
    std::string grace;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddChange(job, shell, "requeue", "Stop jobs that run and let them wait again; they continue from their checkpoint", options->ids);
  command->add_option("--grace", options->grace, kGraceHelp);
  command->callback(Guarded(shell, [&shell, options]() -> int {
    const absl::StatusOr<absl::Duration> grace = ParseGrace(options->grace);
    if (!grace.ok()) return shell.Fail(grace.status());
    return ChangeJobs(
        shell, options->ids,
        [&grace](client::Client& client, const std::string& id) {
          return client.RequeueJob(id, *grace);
        },
        StateAndPriority);
  }));
}

void AddJobPriority(CLI::App& job, Shell& shell) {
  struct Options {
    int priority = 0;
    std::vector<std::string> ids;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = job.add_subcommand("priority", "Change how early jobs come");
  shell.AddOptions(*command);
  command->add_option("priority", options->priority, "Higher runs first; -100 to 100")->required()->check(CLI::Range(-100, 100))->type_name("N");
  command->add_option("ids", options->ids, "Ids, or the beginning of one")->required()->type_name("ID");
  command->callback(Guarded(shell, [&shell, options]() -> int {
    const auto change = [&](client::Client& client, const std::string& id) {
      v1::UpdateJobRequest request;
      request.mutable_job()->set_name(client::JobName(id));
      request.mutable_job()->set_priority(options->priority);
      request.mutable_update_mask()->add_paths("priority");
      return client.UpdateJob(request);
    };
    return ChangeJobs(shell, options->ids, change, StateAndPriority);
  }));
}

}  // namespace yoke::cli
