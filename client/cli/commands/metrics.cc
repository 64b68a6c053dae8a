#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/commands/commands.h"
#include "client/cli/output/progress.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

struct MetricsOptions {
  std::string id;
  bool follow = false;
  std::vector<std::string> types;
};

constexpr char kHeader[] = "EPOCH      BOX     CLS     DFL      P      R      MAP50   MAP50-95  IMAGES/S  SECONDS";

std::string Row(const v1::Event& event) {
  return absl::StrFormat("%-9s  %-6.4g  %-6.4g  %-7.4g  %-5.3f  %-5.3f  %-6.4f  %-8.4f  %-8.1f  %.1f",
                         absl::StrCat(static_cast<int>(Number(event, "epoch")), "/", static_cast<int>(Number(event, "epochs"))),
                         Number(event, "boxLoss"), Number(event, "clsLoss"), Number(event, "dflLoss"), Number(event, "precision"),
                         Number(event, "recall"), Number(event, "map50"), Number(event, "map5095"), Number(event, "imagesPerSecond"),
                         Number(event, "seconds"));
}

// For people: the epochs of rank 0, and how a job without epochs goes on. Else every event, one a line.
absl::Status RunMetrics(Shell& shell, const MetricsOptions& options) {
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  const bool people = shell.format() == Format::kTable || shell.format() == Format::kWide || shell.format() == Format::kName;
  v1::TailMetricsRequest request;
  request.set_name(options.id);
  request.set_follow(options.follow);
  for (const std::string& type : options.types) request.add_types(type);
  if (people && options.types.empty()) request.add_types("epoch");
  bool header = false;
  return client->TailMetrics(request, [&](const v1::TailMetricsResponse& frame) {
    if (!frame.has_event()) return client::Next::kContinue;
    const v1::Event& event = frame.event();
    if (!people) {
      PrintMessage(std::cout, shell.format() == Format::kYaml ? Format::kYaml : Format::kJsonLines, event);
      if (shell.format() == Format::kYaml) std::cout << "---\n";
    } else if (event.type() == "epoch") {
      if (!header) std::cout << shell.out_terminal().Bold(kHeader) << "\n";
      header = true;
      std::cout << Row(event) << "\n";
    } else {
      std::cout << event.type() << "  " << ToJson(event.fields(), false) << "\n";
    }
    std::cout << std::flush;
    return client::Next::kContinue;
  });
}

}  // namespace

void AddMetrics(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("metrics", "A job's epochs as a table; with -o jsonl every event");
  shell.AddOptions(*command);
  auto options = std::make_shared<MetricsOptions>();
  command->add_option("id", options->id, "A job's id, or the beginning of one")->required()->type_name("ID");
  command->add_flag("-f,--follow", options->follow, "Go on until the job has ended");
  command->add_option("--type", options->types, "Only events of this type: epoch, step, metrics, result ...");
  command->callback(Guarded(shell, [&shell, options]() -> int {
    const absl::Status status = RunMetrics(shell, *options);
    return status.ok() ? client::kOk : shell.Fail(status);
  }));
}

}  // namespace yoke::cli
