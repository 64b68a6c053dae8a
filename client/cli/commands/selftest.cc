#include "CLI/CLI.hpp"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/submit.h"

namespace yoke::cli {

void AddSelftest(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("selftest", "Train a small model on drawn images, to show that all of it works here");
  shell.AddOptions(*command);
  auto options = AddSubmitOptions(*command, "selftest");
  command->callback(Guarded(shell, [&shell, options] {
    options->follow = !options->wait;
    return Submit(shell, "selftest", *options);
  }));
}

}  // namespace yoke::cli
