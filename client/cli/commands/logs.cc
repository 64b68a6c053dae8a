#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/output/log_lines.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

struct LogsOptions {
  std::string id;
  bool follow = false;
  int rank = -1;
  int64_t tail = -1;
};

// A terminal shows which rank a line is from; a pipe gets the lines as they were written.
absl::Status Run(Shell& shell, const LogsOptions& options) {
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  v1::TailLogsRequest request;
  request.set_name(options.id);
  request.set_follow(options.follow);
  if (options.rank >= 0) request.set_rank(options.rank);
  if (options.tail >= 0) request.set_tail_lines(options.tail);
  const bool mark = shell.out_terminal().is_terminal() && options.rank < 0;
  LogLines lines([&](int, int rank, const std::string& line) {
    if (mark && rank > 0) std::cout << "[rank " << rank << "] ";
    std::cout << line << "\n";
  });
  const absl::Status status = client->TailLogs(request, [&](const v1::TailLogsResponse& frame) {
    if (shell.format() != Format::kTable && PrintMessage(std::cout, Format::kJsonLines, frame)) {
      std::cout << std::flush;
      return client::Next::kContinue;
    }
    if (frame.has_chunk()) lines.Add(frame.chunk());
    if (frame.has_gap()) {
      shell.Warn(absl::StrCat("bytes ", frame.gap().from(), " to ", frame.gap().to(), " of rank ", frame.gap().rank(), " are no longer kept"));
    }
    std::cout << std::flush;
    return client::Next::kContinue;
  });
  lines.Flush();
  std::cout << std::flush;
  return status;
}

}  // namespace

void AddLogs(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("logs", "What a job's ranks print");
  shell.AddOptions(*command);
  auto options = std::make_shared<LogsOptions>();
  command->add_option("id", options->id, "A job's id, or the beginning of one")->required()->type_name("ID");
  command->add_flag("-f,--follow", options->follow, "Go on until the job has ended");
  command->add_option("--rank", options->rank, "Only this rank")->check(CLI::Range(0, 1 << 20));
  command->add_option("--tail", options->tail, "Begin this many lines before the end")->check(CLI::Range(0, 1 << 30));
  command->callback(Guarded(shell, [&shell, options]() -> int {
    const absl::Status status = Run(shell, *options);
    return status.ok() ? client::kOk : shell.Fail(status);
  }));
}

}  // namespace yoke::cli
