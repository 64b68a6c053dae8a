#include <algorithm>
#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/job_filter.h"
#include "client/cli/output/text.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

struct JobsOptions {
  std::vector<std::string> filter;
  int limit = 0;
};

absl::Status RunJobs(Shell& shell, const JobsOptions& options) {
  std::vector<std::string> words = options.filter;
  const auto of_array = std::find_if(words.begin(), words.end(), [](const std::string& word) {
    return absl::StartsWith(word, "array=");
  });
  std::string array;
  if (of_array != words.end()) {
    array = of_array->substr(std::string("array=").size());
    words.erase(of_array);
  }
  YOKE_ASSIGN_OR_RETURN(const std::string filter, JobFilter(words));
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  YOKE_ASSIGN_OR_RETURN(const v1::ListJobsResponse answer,
                        client->ListJobs(filter, options.limit, array));
  switch (shell.format()) {
    case Format::kName:
      for (const v1::Job& job : answer.jobs()) std::cout << client::JobId(job.name()) << "\n";
      break;
    case Format::kJsonLines:
      for (const v1::Job& job : answer.jobs()) PrintMessage(std::cout, Format::kJsonLines, job);
      break;
    case Format::kTable:
    case Format::kWide: {
      const bool wide = shell.format() == Format::kWide;
      std::cout << JobTable({answer.jobs().begin(), answer.jobs().end()}, absl::Now(), wide, wide ? 1 << 20 : shell.out_terminal().width());
      break;
    }
    default:
      PrintMessage(std::cout, shell.format(), answer);
  }
  return absl::OkStatus();
}

}  // namespace

void AddJobs(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("jobs", "All jobs, the newest first");
  shell.AddOptions(*command);
  auto options = std::make_shared<JobsOptions>();
  command
      ->add_option("filter", options->filter,
                   "state=RUNNING, state=QUEUED,HELD, owner=NAME, name=LABEL, array=ID (its tasks)")
      ->type_name("key=value");
  command->add_option("--limit", options->limit, "At most so many; 0: all")->check(CLI::Range(0, 1000000));
  command->callback(Guarded(shell, [&shell, options]() -> int {
    const absl::Status status = RunJobs(shell, *options);
    return status.ok() ? client::kOk : shell.Fail(status);
  }));
}

}  // namespace yoke::cli
