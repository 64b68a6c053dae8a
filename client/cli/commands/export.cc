#include "CLI/CLI.hpp"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/submit.h"

namespace yoke::cli {

void AddExport(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("export", "Write a model in a form that other programs read");
  shell.AddOptions(*command);
  auto options = AddSubmitOptions(*command, "export");
  command->callback(Guarded(shell, [&shell, options] { return Submit(shell, "export", *options); }));
}

}  // namespace yoke::cli
