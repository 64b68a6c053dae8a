#include "CLI/CLI.hpp"
#include "client/cli/commands/commands.h"

namespace yoke::cli {

void AddJob(CLI::App& app, Shell& shell) {
  CLI::App* job = app.add_subcommand("job", "Show, order, cancel or wait for jobs");
  job->require_subcommand(1);
  AddJobShow(*job, shell);
  AddJobCancel(*job, shell);
  AddJobWait(*job, shell);
  AddJobHold(*job, shell);
  AddJobRelease(*job, shell);
  AddJobRequeue(*job, shell);
  AddJobPriority(*job, shell);
  AddJobUpdate(*job, shell);
  AddJobExplain(*job, shell);
}

}  // namespace yoke::cli
