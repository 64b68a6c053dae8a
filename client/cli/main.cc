// yoke: the command line. Grammar: verbs at the top, settings as key=value; stdout is data, stderr is talk.
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/keys/key_list.h"
#include "common/base/utf8.h"

namespace {

using namespace yoke::cli;

struct Verb {
  const char* name;
  void (*add)(CLI::App& app, Shell& shell);
  bool about_others = false;  // needs all verbs to be there
};

// In the order of the help.
constexpr Verb kVerbs[] = {
    {"train", AddTrain},
    {"val", AddVal},
    {"label", AddLabel},
    {"process", AddProcess},
    {"export", AddExport},
    {"submit", AddSubmit},
    {"devices", AddDevices},
    {"device", AddDevice},
    {"jobs", AddJobs},
    {"job", AddJob},
    {"queue", AddQueue},
    {"sweep", AddSweep},
    {"logs", AddLogs},
    {"metrics", AddMetrics},
    {"backup", AddBackup},
    {"check", AddCheck},
    {"selftest", AddSelftest},
    {"help", AddHelp, true},
    {"version", AddVersion},
    {"completion", AddCompletion, true},
    {"__complete", AddComplete, true},
};

// Where the first word says which verb it is, that one alone: to describe all of them takes longer
// than a submission.
void AddVerbs(CLI::App& app, Shell& shell, const std::string& first_word) {
  for (const Verb& verb : kVerbs) {
    if (first_word != verb.name || verb.about_others) continue;
    verb.add(app, shell);
    return;
  }
  for (const Verb& verb : kVerbs) verb.add(app, shell);
}

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

absl::Status CheckText(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (!yoke::IsUtf8(argv[i]))
      return absl::InvalidArgumentError(
          absl::StrCat("argument ", i, ", '", absl::CHexEscape(argv[i]), "', is not UTF-8"));
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  Shell shell;
  CLI::App app("Yoke trains YOLOv8 detectors on the devices of a shared machine.", "yoke");
  app.require_subcommand(1);
  app.set_version_flag("--version", YOKE_VERSION);
  app.footer("Topics: yoke help keys | exit-codes | devices. Settings are Ultralytics' own keys: yoke train data=set.yaml model=yolov8n.pt epochs=100");
  AddVerbs(app, shell, argc > 1 ? argv[1] : "");
  absl::Status wrong = CheckVerb(app, argc, argv);
  if (wrong.ok()) wrong = CheckText(argc, argv);
  if (!wrong.ok()) return shell.Fail(wrong);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version come this way too, with exit code 0.
    return app.exit(error, std::cout, std::cerr) == 0 ? yoke::client::kOk : yoke::client::kUsage;
  }
  std::cout << std::flush;
  return shell.exit_code;
}
