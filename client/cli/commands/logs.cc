#include <iostream>
#include <memory>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/moment.h"
#include "client/cli/output/log_lines.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

struct LogsOptions {
  std::string id, level, since, until, grep;
  bool follow = false, prepare = false, raw = false;
  int rank = -1;
  int64_t tail = -1;
};

absl::StatusOr<v1::TailLogsRequest> ToRequest(const LogsOptions& options) {
  v1::TailLogsRequest request;
  request.set_name(options.id);
  request.set_follow(options.follow);
  if (options.prepare && options.rank >= 0) return absl::InvalidArgumentError("--prepare and --rank exclude each other");
  if (options.prepare) request.set_rank(-1);
  if (options.rank >= 0) request.set_rank(options.rank);
  if (options.tail >= 0) request.set_tail_lines(options.tail);
  request.set_lines(!options.raw);
  if (options.raw && (!options.level.empty() || !options.grep.empty())) {
    return absl::InvalidArgumentError("--raw gives bytes: it goes neither with --level nor with --grep");
  }
  if (options.level == "warning") request.set_min_level(v1::TailLogsRequest::WARNING);
  if (options.level == "error") request.set_min_level(v1::TailLogsRequest::ERROR);
  request.set_pattern(options.grep);
  const absl::Time now = absl::Now();
  const auto set = [now](const char* option, const std::string& text, auto mutable_time) -> absl::Status {
    if (text.empty()) return absl::OkStatus();
    YOKE_ASSIGN_OR_RETURN(const absl::Time moment, ParseMoment(option, text, now, absl::LocalTimeZone()));
    const int64_t milliseconds = absl::ToUnixMillis(moment);
    google::protobuf::Timestamp* const time = mutable_time();
    time->set_seconds(milliseconds / 1000);
    time->set_nanos(static_cast<int32_t>(milliseconds % 1000) * 1'000'000);
    return absl::OkStatus();
  };
  YOKE_RETURN_IF_ERROR(set("--since", options.since, [&request] { return request.mutable_since(); }));
  YOKE_RETURN_IF_ERROR(set("--until", options.until, [&request] { return request.mutable_until(); }));
  return request;
}

// A terminal shows which rank a line is from, and progress bars as they go; a pipe gets the lines as they were written.
absl::Status RunLogs(Shell& shell, const LogsOptions& options) {
  YOKE_ASSIGN_OR_RETURN(const v1::TailLogsRequest request, ToRequest(options));
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  const bool terminal = shell.out_terminal().is_terminal();
  const bool mark = terminal && !request.has_rank();
  bool any = false;
  bool bar = false;  // the last line of the terminal is one that goes on
  const auto wipe = [&bar] {
    if (std::exchange(bar, false)) std::cout << "\r\x1b[K";
  };
  LogLines lines(
      [&](int, int rank, const std::string& line) {
        wipe();
        if (mark && rank > 0) std::cout << "[rank " << rank << "] ";
        std::cout << line << "\n";
      },
      [&](int, int, const std::string& line) {
        if (!terminal) return;
        wipe();
        std::cout << line.substr(0, static_cast<size_t>(shell.out_terminal().width() - 1));
        bar = true;
      });
  const absl::Status status = client->TailLogs(request, [&](const v1::TailLogsResponse& frame) {
    any = any || frame.has_chunk();
    if (shell.format() != Format::kTable && PrintMessage(std::cout, Format::kJsonLines, frame)) {
      std::cout << std::flush;
      return client::Next::kContinue;
    }
    if (frame.has_chunk() && options.raw) std::cout << frame.chunk().data();
    if (frame.has_chunk() && !options.raw) lines.Add(frame.chunk());
    if (frame.has_gap()) {
      shell.Warn(absl::StrCat("bytes ", frame.gap().from(), " to ", frame.gap().to(), " of rank ", frame.gap().rank(), " are no longer kept"));
    }
    std::cout << std::flush;
    return client::Next::kContinue;
  });
  lines.Flush();
  wipe();
  std::cout << std::flush;
  if (status.ok() && options.prepare && !any) {
    shell.Warn(
        "nothing was printed before its ranks; a job of one rank looks at its data in its own log");
  }
  return status;
}

}  // namespace

void AddLogs(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("logs", "What a job's ranks print");
  shell.AddOptions(*command);
  auto options = std::make_shared<LogsOptions>();
  command->add_option("id", options->id, "A job's id, or the beginning of one")->required()->type_name("ID");
  command->add_flag("-f,--follow", options->follow, "Go on until the job has ended");
  command->add_option("--rank", options->rank, "Only this rank")->check(CLI::Range(0, (1 << 16) - 1));
  command->add_flag(
      "--prepare", options->prepare,
      "What was printed before the ranks of a job that has several: the check of the data");
  command->add_option("--tail", options->tail, "Begin this many lines before the end, counted before anything is left out")->check(CLI::Range(0, 1 << 30));
  command->add_option("--level", options->level, "Only lines that call themselves this or worse")->check(CLI::IsMember({"info", "warning", "error"}));
  command->add_option("--since", options->since, "Only what was written since: 10m (ago), 14:30, '2024-05-01 14:30', 2024-05-01T14:30:05Z");
  command->add_option("--until", options->until, "Only what was written until then; not with --follow");
  command->add_option("--grep", options->grep, "Only lines in which this regular expression (RE2) is found")->type_name("PATTERN");
  command->add_flag("--raw", options->raw, "Every byte as it was written, progress bars with all their states");
  command->callback(Guarded(shell, [&shell, options]() -> int {
    const absl::Status status = RunLogs(shell, *options);
    return status.ok() ? client::kOk : shell.Fail(status);
  }));
}

}  // namespace yoke::cli
