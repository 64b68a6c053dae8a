#include "CLI/CLI.hpp"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/submit.h"

namespace yoke::cli {

void AddTrain(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("train", "Train a detector");
  shell.AddOptions(*command);
  auto options = AddSubmitOptions(*command, "train");
  command->callback(Guarded(shell, [&shell, options] { return Submit(shell, "train", *options); }));
}

}  // namespace yoke::cli
