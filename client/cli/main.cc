// yoke: the command line. Grammar: verbs at the top, settings as key=value; stdout is data, stderr is talk.
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/keys/key_list.h"

namespace {

// OK, or the error for a first word that is no verb: CLI11 would only say that one is missing.
absl::Status CheckVerb(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return absl::OkStatus();
  const std::string verb = argv[1];
  std::vector<std::string> verbs;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == verb) return absl::OkStatus();
    if (!command->get_group().empty()) verbs.push_back(command->get_name());
  }
  const std::string nearest = yoke::cli::Nearest(verb, verbs);
  return absl::InvalidArgumentError(
      absl::StrCat("no verb '", verb, "'", nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?"), " (all verbs: yoke help)"));
}

}  // namespace

int main(int argc, char** argv) {
  using namespace yoke::cli;
  Shell shell;
  CLI::App app("Yoke trains YOLOv8 detectors on the devices of a shared machine.", "yoke");
  app.require_subcommand(1);
  app.set_version_flag("--version", YOKE_VERSION);
  app.footer("Topics: yoke help keys | exit-codes | devices. Settings are Ultralytics' own keys: yoke train data=set.yaml model=yolov8n.pt epochs=100");
  for (auto add : {AddTrain, AddVal, AddLabel, AddProcess, AddExport, AddSubmit, AddDevices, AddDevice, AddJobs, AddJob, AddQueue, AddLogs, AddMetrics, AddBackup, AddCheck, AddSelftest, AddHelp,
                   AddVersion, AddCompletion, AddComplete}) {
    add(app, shell);
  }
  const absl::Status verb = CheckVerb(app, argc, argv);
  if (!verb.ok()) return shell.Fail(verb);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version come this way too, with exit code 0.
    return app.exit(error, std::cout, std::cerr) == 0 ? yoke::client::kOk : yoke::client::kUsage;
  }
  std::cout << std::flush;
  return shell.exit_code;
}
