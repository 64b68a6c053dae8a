#include "CLI/CLI.hpp"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/submit.h"

namespace yoke::cli {

void AddVal(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("val", "Measure a model on a data set");
  shell.AddOptions(*command);
  auto options = AddSubmitOptions(*command, "validate");
  command->callback(Guarded(shell, [&shell, options] { return Submit(shell, "validate", *options); }));
}

}  // namespace yoke::cli
