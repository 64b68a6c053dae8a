#include "CLI/CLI.hpp"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/submit.h"

namespace yoke::cli {

void AddLabel(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("label", "Write YOLO labels for folders of images");
  shell.AddOptions(*command);
  auto options = AddSubmitOptions(*command, "label");
  command->callback(Guarded(shell, [&shell, options] { return Submit(shell, "label", *options); }));
}

}  // namespace yoke::cli
