// yoke sweep results ID: what each combination of values came to, the best first.
#include <algorithm>
#include <iostream>
#include <limits>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/commands/commands.h"
#include "client/cli/output/table.h"
#include "client/cli/output/text.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

// Null: it has none (yet).
const v1::DetectionMetrics* MetricsOf(const v1::Job& job) {
  if (job.result().has_train()) return &job.result().train().metrics();
  return job.result().has_val() ? &job.result().val().metrics() : nullptr;
}

double Fitness(const v1::Job& job) {
  const v1::DetectionMetrics* metrics = MetricsOf(job);
  return metrics == nullptr ? -std::numeric_limits<double>::infinity() : metrics->fitness();
}

std::string ResultsTable(const v1::ListJobsResponse& tasks, int width) {
  std::vector<std::string> headers = {"INDEX", "ID", "STATE"};
  if (tasks.jobs_size() > 0) {
    for (const v1::TaskValue& value : tasks.jobs(0).task_values()) headers.push_back(value.key());
  }
  headers.insert(headers.end(), {"FITNESS", "MAP50-95", "MAP50", "P", "R", "EPOCHS"});
  Table table(headers);
  for (const v1::Job& job : tasks.jobs()) {
    std::vector<std::string> row = {absl::StrCat(job.array_index()), client::JobId(job.name()),
                                    StateWord(job)};
    for (const v1::TaskValue& value : job.task_values()) row.push_back(value.text());
    const v1::DetectionMetrics* metrics = MetricsOf(job);
    for (const double number :
         metrics == nullptr
             ? std::vector<double>()
             : std::vector<double>{metrics->fitness(), metrics->map5095(), metrics->map50(),
                                   metrics->precision(), metrics->recall()}) {
      row.push_back(absl::StrFormat("%.4f", number));
    }
    if (job.result().has_train()) row.push_back(absl::StrCat(job.result().train().epochs()));
    row.resize(headers.size());
    table.Add(row);
  }
  return table.Format(width);
}

absl::Status Results(Shell& shell, const std::string& id) {
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  YOKE_ASSIGN_OR_RETURN(const v1::Job array, client->GetJob(id));
  if (!array.has_array())
    return absl::InvalidArgumentError(
        absl::StrCat("job ", client::JobId(array.name()), " is no sweep and no array"));
  YOKE_ASSIGN_OR_RETURN(v1::ListJobsResponse tasks, client->ListJobs("", 0, id));
  std::sort(tasks.mutable_jobs()->begin(), tasks.mutable_jobs()->end(),
            [](const v1::Job& a, const v1::Job& b) {
              return Fitness(a) != Fitness(b) ? Fitness(a) > Fitness(b)
                                              : a.array_index() < b.array_index();
            });
  switch (shell.format()) {
    case Format::kName:
      for (const v1::Job& job : tasks.jobs()) std::cout << client::JobId(job.name()) << "\n";
      break;
    case Format::kJsonLines:
      for (const v1::Job& job : tasks.jobs()) PrintMessage(std::cout, Format::kJsonLines, job);
      break;
    case Format::kTable:
    case Format::kWide:
      std::cout << ResultsTable(
          tasks, shell.format() == Format::kWide ? 1 << 20 : shell.out_terminal().width());
      if (tasks.jobs_size() < array.array().count())
        shell.Say(
            absl::StrCat(array.array().count() - tasks.jobs_size(), " tasks were not made yet"));
      break;
    default:
      PrintMessage(std::cout, shell.format(), tasks);
  }
  return absl::OkStatus();
}

}  // namespace

void AddSweep(CLI::App& app, Shell& shell) {
  CLI::App* sweep = app.add_subcommand("sweep", "Compare the tasks of a sweep");
  sweep->require_subcommand(1);
  CLI::App* command =
      sweep->add_subcommand("results", "Values and metrics of each task, the best fitness first");
  shell.AddOptions(*command);
  auto id = std::make_shared<std::string>();
  command->add_option("id", *id, "The sweep's id, or the beginning of it")
      ->required()
      ->type_name("ID");
  command->callback(Guarded(shell, [&shell, id]() -> int {
    const absl::Status status = Results(shell, *id);
    return status.ok() ? client::kOk : shell.Fail(status);
  }));
}

}  // namespace yoke::cli
