#include <iostream>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/output/table.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

using Item = v1::CheckSystemResponse::Item;

// Whether nothing FAILED.
absl::StatusOr<bool> RunCheck(Shell& shell) {
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  YOKE_ASSIGN_OR_RETURN(const v1::CheckSystemResponse answer, client->CheckSystem());
  bool fit = true;
  for (const Item& item : answer.items()) fit = fit && item.verdict() != Item::FAILED;
  if (PrintMessage(std::cout, shell.format(), answer)) return fit;
  Table table({"ITEM", "VERDICT", "FOUND"});
  for (const Item& item : answer.items()) {
    if (shell.format() == Format::kName) {
      std::cout << item.name() << "\n";
      continue;
    }
    table.Add({item.name(), Item::Verdict_Name(item.verdict()), item.message()});
  }
  if (shell.format() != Format::kName) std::cout << table.Format(1 << 20);
  shell.Say(fit ? shell.err_terminal().Green("this machine can run jobs") : shell.err_terminal().Red("this machine cannot run jobs yet"));
  return fit;
}

}  // namespace

void AddCheck(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("check", "Is this machine fit? Versions, devices, memory, disk; exits with 1 if not");
  shell.AddOptions(*command);
  command->callback(Guarded(shell, [&shell]() -> int {
    const absl::StatusOr<bool> fit = RunCheck(shell);
    if (!fit.ok()) return shell.Fail(fit.status());
    return *fit ? client::kOk : client::kError;
  }));
}

}  // namespace yoke::cli
