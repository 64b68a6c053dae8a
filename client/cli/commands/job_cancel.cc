#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/commands/change_jobs.h"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/duration.h"
#include "client/cli/output/text.h"

namespace yoke::cli {
namespace {

struct CancelOptions {
  std::vector<std::string> ids;
  std::string grace, comment;
};

int RunCancel(Shell& shell, const CancelOptions& options) {
  const absl::StatusOr<absl::Duration> grace = ParseGrace(options.grace);
  if (!grace.ok()) return shell.Fail(grace.status());
  return ChangeJobs(
      shell, options.ids,
      [&](client::Client& client, const std::string& id) {
        return client.CancelJob(id, *grace, options.comment);
      },
      [](const v1::Job& job) { return absl::StrCat("is ", StateWord(job)); });
}

}  // namespace

void AddJobCancel(CLI::App& job, Shell& shell) {
  CLI::App* command = job.add_subcommand("cancel", "Ask jobs to stop: they finish their step, save and end");
  shell.AddOptions(*command);
  auto options = std::make_shared<CancelOptions>();
  command->add_option("ids", options->ids, "Ids, or the beginning of one")->required()->type_name("ID");
  command->add_option("--grace", options->grace, kGraceHelp);
  command->add_option("--comment", options->comment, "Why, for the record");
  command->callback(Guarded(shell, [&shell, options] { return RunCancel(shell, *options); }));
}

}  // namespace yoke::cli
