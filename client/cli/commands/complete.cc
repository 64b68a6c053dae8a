#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "client/cli/commands/candidates.h"
#include "client/cli/commands/commands.h"

namespace yoke::cli {
namespace {

constexpr int kIdsMax = 50;

}  // namespace

void AddComplete(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("__complete", "Words for the shell's completion")->group("");
  auto words = std::make_shared<std::vector<std::string>>();
  command->add_option("words", *words);
  command->callback(Guarded(shell, [&app, &shell, words]() -> int {
    auto ids = [&shell] {
      std::vector<std::string> found;
      const absl::StatusOr<client::Client*> client = shell.Connect();
      if (!client.ok()) return found;
      const absl::StatusOr<v1::ListJobsResponse> answer = (*client)->ListJobs("", kIdsMax);
      if (!answer.ok()) return found;
      for (const v1::Job& job : answer->jobs()) found.push_back(client::JobId(job.name()));
      return found;
    };
    for (const std::string& word : Candidates(app, *words, ids)) std::cout << word << "\n";
    return client::kOk;
  }));
}

}  // namespace yoke::cli
