#include "CLI/CLI.hpp"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/submit.h"

namespace yoke::cli {

void AddProcess(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("process", "Turn a raw folder into a data set, then train on it if training keys are given");
  shell.AddOptions(*command);
  auto options = AddSubmitOptions(*command, "process");
  command->callback(Guarded(shell, [&shell, options] { return Submit(shell, "process", *options); }));
}

}  // namespace yoke::cli
