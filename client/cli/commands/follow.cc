#include "client/cli/commands/follow.h"

#include <iostream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/output/log_lines.h"
#include "client/cli/output/progress.h"
#include "common/base/status_macros.h"

namespace yoke::cli {

absl::StatusOr<v1::Job> FollowJob(Shell& shell, client::Client& client, const std::string& id, std::multiset<std::string> said) {
  Progress progress(std::cerr, shell.err_terminal());
  absl::Status logs_status, events_status;
  std::thread events([&] {
    v1::TailMetricsRequest request;
    request.set_name(id);
    request.set_follow(true);
    events_status = client.TailMetrics(request, [&](const v1::TailMetricsResponse& frame) {
      if (frame.has_event() && frame.event().rank() == 0) progress.Event(frame.event(), absl::Now());
      return client::Next::kContinue;
    });
  });
  v1::TailLogsRequest request;
  request.set_name(id);
  request.set_follow(true);
  request.set_lines(true);
  LogLines lines([&](int, int rank, const std::string& line) {
    if (const auto seen = said.find(line); rank <= 0 && seen != said.end()) {
      said.erase(seen);
    } else {
      progress.Line(rank > 0 ? absl::StrCat("[rank ", rank, "] ", line) : line);
    }
  });
  logs_status = client.TailLogs(request, [&](const v1::TailLogsResponse& frame) {
    if (frame.has_chunk()) lines.Add(frame.chunk());
    return client::Next::kContinue;
  });
  lines.Flush();
  events.join();
  progress.Clear();
  YOKE_RETURN_IF_ERROR(logs_status);
  YOKE_RETURN_IF_ERROR(events_status);
  return client.WaitJob(id, absl::InfiniteDuration());
}

}  // namespace yoke::cli
