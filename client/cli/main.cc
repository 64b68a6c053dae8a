// yoke: the command line. Grammar: verbs at the top, settings as key=value; stdout is data, stderr is talk.
#include <iostream>

#include "CLI/CLI.hpp"
#include "client/cli/commands/commands.h"

int main(int argc, char** argv) {
  using namespace yoke::cli;
  Shell shell;
  CLI::App app("Yoke trains YOLOv8 detectors on the devices of a shared machine.", "yoke");
  app.require_subcommand(1);
  app.set_version_flag("--version", YOKE_VERSION);
  app.footer("Topics: yoke help keys | exit-codes | devices. Settings are Ultralytics' own keys: yoke train data=set.yaml model=yolov8n.pt epochs=100");
  for (auto add : {AddTrain, AddVal, AddLabel, AddProcess, AddDevices, AddJobs, AddJob, AddLogs, AddMetrics, AddCheck, AddSelftest, AddHelp,
                   AddVersion, AddCompletion, AddComplete}) {
    add(app, shell);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version come this way too, with exit code 0.
    return app.exit(error, std::cout, std::cerr) == 0 ? yoke::client::kOk : yoke::client::kUsage;
  }
  std::cout << std::flush;
  return shell.exit_code;
}
