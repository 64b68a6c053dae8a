#include "server/launcher/finish.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/os/process.h"
#include "server/launcher/sweep.h"

namespace yoke::launcher {
namespace {

bool Rebooted(const LiveAttempt& attempt) {
  const absl::StatusOr<std::string> boot = os::BootId();
  return attempt.over->started && boot.ok() && attempt.over->started->boot_id != *boot;
}

Report ReportOf(const LiveAttempt& attempt, int rank) {
  EventFollower follower(attempt.folder.Path(ipc::RankEventsName(rank)));
  follower.Read();
  return follower.report();
}

Report FailedReport(const LiveAttempt& attempt, const ipc::ExitRecord& record) {
  if (!record.has_first_failure) return {};
  Report report = ReportOf(attempt, record.first_failure.rank);
  if (record.first_failure.rank < 0 && report.error_message.empty())
    ReadPrepareAnswer(record.last_lines, report);
  return report;
}

Ending OwnEnding(const LiveAttempt& attempt, bool stop_requested) {
  if (attempt.over_without_record) return *attempt.over_without_record;
  if (attempt.over->exit)
    return EndingOf(*attempt.over->exit, FailedReport(attempt, *attempt.over->exit));
  return LostEnding(stop_requested, Rebooted(attempt));
}

}  // namespace

void ShowReport(const LiveAttempt& attempt, v1::Job& job) {
  const Report& report = attempt.events.report();
  *job.mutable_progress() = report.progress;
  if (!report.banner.empty())
    job.mutable_banner()->Assign(report.banner.begin(), report.banner.end());
  for (const std::string& warning : report.warnings) {
    if (std::find(job.warnings().begin(), job.warnings().end(), warning) == job.warnings().end())
      job.add_warnings(warning);
  }
}

Ending EndingOf(const LiveAttempt& attempt, const devices::DeviceInventory& inventory,
                bool stop_requested) {
  Ending ending = OwnEnding(attempt, stop_requested);
  for (const std::string& uuid : attempt.device_uuids) {
    const std::string fault = inventory.FaultOf(uuid);
    if (!fault.empty()) ending.device_fault = absl::StrCat("Device ", uuid, " failed: ", fault);
  }
  return ending;
}

void ShowResult(const LiveAttempt& attempt, int64_t peak_rss_bytes, v1::Job& job) {
  std::vector<Report> others;
  for (int rank = 1; rank < job.attempts(job.attempts_size() - 1).world_size(); ++rank)
    others.push_back(ReportOf(attempt, rank));
  const v1::JobResult result =
      ResultOf(attempt.events.report(), others, peak_rss_bytes, job.run_dir());
  if (result.ByteSizeLong() > 0) *job.mutable_result() = result;
}

}  // namespace yoke::launcher
