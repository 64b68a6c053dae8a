#include <iostream>

#include "CLI/CLI.hpp"
#include "client/cli/commands/commands.h"
#include "common/base/status_macros.h"

namespace yoke::cli {

void AddVersion(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("version", "The versions of this program and of the daemon");
  shell.AddOptions(*command);
  command->callback(Guarded(shell, [&shell]() -> int {
    std::cout << "yoke " << YOKE_VERSION << std::endl;
    const absl::StatusOr<client::Client*> client = shell.Connect();
    const absl::StatusOr<v1::GetServerInfoResponse> info =
        client.ok() ? (*client)->GetServerInfo("") : absl::StatusOr<v1::GetServerInfoResponse>(client.status());
    if (info.ok()) {
      std::cout << "yoked " << info->version() << " on " << info->hostname() << ", process " << info->pid() << ", state in " << info->state_dir()
                << "\n";
    } else {
      shell.Say(std::string(info.status().message()));
    }
    return client::kOk;
  }));
}

}  // namespace yoke::cli
