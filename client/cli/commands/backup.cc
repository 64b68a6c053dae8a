#include <filesystem>
#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

constexpr char kServerPrefix[] = "server:";

absl::Status RunBackup(Shell& shell, const std::string& to) {
  const std::string path = absl::StartsWith(to, kServerPrefix)
                               ? to.substr(sizeof kServerPrefix - 1)
                               : std::filesystem::absolute(to).lexically_normal().string();
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  YOKE_ASSIGN_OR_RETURN(const v1::CreateBackupResponse answer, client->CreateBackup(path));
  if (PrintMessage(std::cout, shell.format(), answer)) return absl::OkStatus();
  std::cout << answer.path() << "\n";
  shell.Say(absl::StrCat(answer.bytes(),
                         " bytes. To restore: stop yoked, copy the file over yoke.db in its state "
                         "folder, remove yoke.db-wal there, start yoked"));
  return absl::OkStatus();
}

}  // namespace

void AddBackup(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand(
      "backup", "Copy the daemon's database to a new file while it goes on working");
  shell.AddOptions(*command);
  auto to = std::make_shared<std::string>();
  command->add_option("--to", *to, "The new file, on the daemon's machine")
      ->required()
      ->type_name("FILE");
  command->callback(Guarded(shell, [&shell, to]() -> int {
    const absl::Status status = RunBackup(shell, *to);
    return status.ok() ? client::kOk : shell.Fail(status);
  }));
}

}  // namespace yoke::cli
