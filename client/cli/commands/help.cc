#include <algorithm>
#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands/commands.h"
#include "client/cli/keys/key_list.h"

namespace yoke::cli {
namespace {

constexpr char kDevicesTopic[] =
    R"(device=WORD says where a job runs; one rank (process) per device, which train together.

  auto          every GPU; cpu where there is none
  all           every GPU
  0  0,2        GPUs by their number in `yoke devices`
  GPU-<uuid>    a GPU by its identity
  -1  -1,-1     an idle GPU (two of them), chosen when the job starts
  gpus:2        any two GPUs, chosen when the job starts
  cpu           one rank with all of the machine's cores
  cpu:0,1       CPU slots, one rank each

Without GPUs plain numbers mean CPU slots. A job whose devices are busy waits; `yoke jobs` says for whom.
)";

int PrintKeys(Shell& shell, const std::string& verb) {
  const std::vector<std::pair<std::string, std::string>> tasks = {
      {"train", "train"}, {"val", "validate"}, {"label", "label"}, {"process", "process"}, {"selftest", "selftest"}, {"export", "export"}};
  std::vector<std::string> verbs;
  for (const auto& [name, task] : tasks) verbs.push_back(name);
  if (!verb.empty() && std::find(verbs.begin(), verbs.end(), verb) == verbs.end())
    return shell.Fail(absl::InvalidArgumentError(
        absl::StrCat("'", verb, "' is no task; keys are of: ", absl::StrJoin(verbs, ", "))));
  std::cout << "Any task:\n" << KeyTable(KeysOfEveryTask());
  for (const auto& [name, task] : tasks) {
    if (verb.empty() ? name != "process" : verb == name) std::cout << "\nyoke " << name << ":\n" << KeyTable(KeysOfTask(task));
  }
  if (verb.empty()) std::cout << "\nyoke process takes its own keys and those of train: yoke help keys process\n";
  return client::kOk;
}

int PrintExitCodes() {
  for (const client::ExitCodeMeaning& row : client::ExitCodeMeanings()) std::cout << absl::StrFormat("%4d  %s\n", row.code, row.meaning);
  return client::kOk;
}

int Help(Shell& shell, const CLI::App& app, const std::vector<std::string>& topic) {
  if (topic.empty()) {
    // Not app.help(), which is that of the verb that was given, here: help.
    std::cout << app.get_formatter()->make_help(&app, app.get_name(), CLI::AppFormatMode::Normal);
    return client::kOk;
  }
  if (topic[0] == "keys") return PrintKeys(shell, topic.size() > 1 ? topic[1] : "");
  if (topic[0] == "exit-codes") return PrintExitCodes();
  if (topic[0] == "devices") {
    std::cout << kDevicesTopic;
    return client::kOk;
  }
  const CLI::App* command = &app;
  std::string usage;  // the words before the command
  for (const std::string& word : topic) {
    const CLI::App* next = nullptr;
    for (const CLI::App* child : command->get_subcommands([](const CLI::App*) { return true; })) {
      if (child->get_name() == word) next = child;
    }
    if (next == nullptr) return shell.Fail(absl::InvalidArgumentError(absl::StrCat("no help about '", word, "'; topics: keys, exit-codes, devices, and every verb")));
    absl::StrAppend(&usage, usage.empty() ? "" : " ", command->get_name());
    command = next;
  }
  std::cout << command->help(usage);
  return client::kOk;
}

}  // namespace

void AddHelp(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("help", "About a verb, or: keys [VERB], exit-codes, devices");
  auto topic = std::make_shared<std::vector<std::string>>();
  command->add_option("topic", *topic, "keys [VERB], exit-codes, devices, or a verb")->type_name("TOPIC");
  command->callback(Guarded(shell, [&app, &shell, topic] { return Help(shell, app, *topic); }));
}

}  // namespace yoke::cli
