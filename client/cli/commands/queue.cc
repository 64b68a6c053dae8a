// What waits and why: yoke queue, yoke job explain.
#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/commands/commands.h"
#include "client/cli/output/table.h"
#include "client/cli/output/text.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

// "14:05", with the day if it is another one; "?" where nobody knows.
std::string StartWord(const v1::QueueEntry& entry) {
  if (!entry.has_earliest_start_time()) return "?";
  const absl::Time start = ToTime(entry.earliest_start_time());
  const absl::TimeZone zone = absl::LocalTimeZone();
  const bool today = absl::ToCivilDay(start, zone) == absl::ToCivilDay(absl::Now(), zone);
  return absl::FormatTime(today ? "%H:%M:%S" : "%m-%d %H:%M", start, zone);
}

std::string QueueTable(const v1::ListQueueResponse& answer, bool wide, int width) {
  std::vector<std::string> headers = {"PLACE", "ID", "NAME", "OWNER", "PRIORITY", "DEVICES", "START"};
  if (wide) headers.insert(headers.end(), {"QUEUE", "REASON", "WHY THEN"});
  headers.push_back("WAITS");
  Table table(headers);
  for (const v1::QueueEntry& entry : answer.entries()) {
    std::vector<std::string> row = {absl::StrCat(entry.place(), "/", answer.waiting()), client::JobId(entry.job()), entry.display_name(),
                                    entry.owner(), absl::StrCat(entry.priority()), entry.device(), StartWord(entry)};
    if (wide) row.insert(row.end(), {entry.queue(), v1::JobReason::Code_Name(entry.reason()), entry.earliest_start_reason()});
    row.push_back(entry.message());
    table.Add(row);
  }
  return table.Format(width);
}

absl::Status ShowQueue(Shell& shell, int limit) {
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  YOKE_ASSIGN_OR_RETURN(const v1::ListQueueResponse answer, client->ListQueue(limit));
  switch (shell.format()) {
    case Format::kName:
      for (const v1::QueueEntry& entry : answer.entries()) std::cout << client::JobId(entry.job()) << "\n";
      break;
    case Format::kJsonLines:
      for (const v1::QueueEntry& entry : answer.entries()) PrintMessage(std::cout, Format::kJsonLines, entry);
      break;
    case Format::kTable:
    case Format::kWide: {
      const bool wide = shell.format() == Format::kWide;
      std::cout << QueueTable(answer, wide, wide ? 1 << 20 : shell.out_terminal().width());
      if (answer.entries_size() < answer.waiting()) shell.Say(absl::StrCat(answer.waiting(), " jobs wait in all"));
      break;
    }
    default: PrintMessage(std::cout, shell.format(), answer);
  }
  return absl::OkStatus();
}

absl::Status Explain(Shell& shell, const std::vector<std::string>& ids) {
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  for (const std::string& id : ids) {
    YOKE_ASSIGN_OR_RETURN(const v1::ExplainJobResponse answer, client->ExplainJob(id));
    if (PrintMessage(std::cout, shell.format(), answer)) continue;
    if (ids.size() > 1) std::cout << client::JobId(answer.job()) << ":\n";
    for (const std::string& sentence : answer.sentences()) std::cout << sentence << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

void AddQueue(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("queue", "The waiting jobs in their order: place, reason, earliest start");
  shell.AddOptions(*command);
  auto limit = std::make_shared<int>(100);
  command->add_option("--limit", *limit, "Show the first ones only (100)")->check(CLI::Range(1, 1000));
  command->callback(Guarded(shell, [&shell, limit]() -> int {
    const absl::Status status = ShowQueue(shell, *limit);
    return status.ok() ? client::kOk : shell.Fail(status);
  }));
}

void AddJobExplain(CLI::App& job, Shell& shell) {
  CLI::App* command = job.add_subcommand("explain", "What a job waits for, its place in the queue and when it can start");
  shell.AddOptions(*command);
  auto ids = std::make_shared<std::vector<std::string>>();
  command->add_option("ids", *ids, "Ids, or the beginning of one")->required()->type_name("ID");
  command->callback(Guarded(shell, [&shell, ids]() -> int {
    const absl::Status status = Explain(shell, *ids);
    return status.ok() ? client::kOk : shell.Fail(status);
  }));
}

}  // namespace yoke::cli
