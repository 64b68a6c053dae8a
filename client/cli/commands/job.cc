#include "CLI/CLI.hpp"
#include "client/cli/commands/commands.h"

namespace yoke::cli {

void AddJob(CLI::App& app, Shell& shell) {
  CLI::App* job = app.add_subcommand("job", "Show, cancel or wait for jobs");
  job->require_subcommand(1);
  AddJobShow(*job, shell);
  AddJobCancel(*job, shell);
  AddJobWait(*job, shell);
}

}  // namespace yoke::cli
