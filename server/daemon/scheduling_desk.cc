#include "server/daemon/scheduling_desk.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/os/clock.h"
#include "google/protobuf/util/time_util.h"
#include "server/daemon/dispatcher.h"
#include "server/jobs/ids.h"

namespace yoke::daemon {
namespace {

constexpr int kSeedPage = 500;
constexpr int kSeedPages = 4;  // the newest jobs; what older ones used counts for little
constexpr size_t kQueueNameMax = 40;

Moment Now() { return {static_cast<double>(os::BootMilliseconds()) / 1000, absl::Now()}; }

std::string WhyThen(const scheduler::Wait& wait, scheduler::Seconds now) {
  if (!wait.earliest_start) return wait.earliest_why.empty() ? "unknown" : absl::StrCat("unknown: ", wait.earliest_why);
  if (wait.reason == v1::JobReason::WAITING_FOR_RETRY) return "its next try is not made before that";
  if (*wait.earliest_start <= now) return "as soon as the jobs that were asked to stop have ended";
  return "by the time limits of the jobs that hold its devices or are ahead of it";
}

v1::QueueEntry ToEntry(const scheduler::Wait& wait, const v1::Job& job, Moment now) {
  v1::QueueEntry entry;
  entry.set_job(job.name());
  entry.set_display_name(job.display_name());
  entry.set_owner(job.owner());
  entry.set_array_job(job.array_job());
  entry.set_priority(job.priority());
  entry.set_queue(job.scheduling().queue());
  entry.set_device(job.spec().device());
  entry.set_place(wait.place);
  entry.set_reason(wait.reason);
  entry.set_message(wait.sentence);
  if (wait.earliest_start) {
    const absl::Time then = now.wall + absl::Seconds(std::max(0.0, *wait.earliest_start - now.boot));
    *entry.mutable_earliest_start_time() =
        google::protobuf::util::TimeUtil::MillisecondsToTimestamp(absl::ToUnixMillis(then));
  }
  entry.set_earliest_start_reason(WhyThen(wait, now.boot));
  return entry;
}

}  // namespace

absl::Status ParseQueues(const std::string& text, DeskOptions& options) {
  for (const absl::string_view word : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::vector<std::string> parts = absl::StrSplit(absl::StripAsciiWhitespace(word), absl::MaxSplits('=', 1));
    const std::string& name = parts[0];
    const bool plain = std::all_of(name.begin(), name.end(), [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
    int most = 0;
    if (name.empty() || name.size() > kQueueNameMax || !plain || (parts.size() == 2 && (!absl::SimpleAtoi(parts[1], &most) || most < 1))) {
      return absl::InvalidArgumentError(absl::StrCat("queues: '", word, "' is no queue; write NAME or NAME=N, N jobs at once, e.g. night=2,day"));
    }
    options.queues.insert(name);
    if (most > 0) options.policy.queue_running_max[name] = most;
  }
  return absl::OkStatus();
}

absl::StatusOr<scheduler::Snapshot> SchedulingDesk::Take(const jobs::OpenJobs& open,
                                                         const std::vector<jobs::Lease>& leases,
                                                         size_t most_alike) {
  scheduler::Snapshot snapshot = TakeSnapshot(open, leases, inventory_, most_alike);
  const Moment now = Now();
  absl::Status problem;
  const auto lookup = [&](const std::string& id) {
    const absl::StatusOr<jobs::JobRecord> job = store_.Get(id);
    // Nothing can be said: the job waits on as if that one had not ended.
    if (!job.ok() && !absl::IsNotFound(job.status())) problem = job.status();
    return job.ok() ? job->public_job.state() : v1::Job::STATE_UNSPECIFIED;
  };
  MutexLock lock(mutex_);
  if (!seeded_) YOKE_RETURN_IF_ERROR(Seed(open, now));
  seeded_ = true;
  ledger_.Complete(open, now, lookup, snapshot);
  if (!problem.ok()) return problem;
  return snapshot;
}

absl::Status SchedulingDesk::Seed(const jobs::OpenJobs& open, Moment now) {
  ledger_.SeedOpen(open, now);
  const jobs::JobFilter ended{{v1::Job::SUCCEEDED, v1::Job::FAILED, v1::Job::CANCELLED, v1::Job::TIMED_OUT}, {}, {}};
  std::string token;
  for (int i = 0; i < kSeedPages && (i == 0 || !token.empty()); ++i) {
    YOKE_ASSIGN_OR_RETURN(const jobs::Page page, store_.List(ended, kSeedPage, token));
    ledger_.Seed(page.jobs, now);
    token = page.next_page_token;
  }
  return absl::OkStatus();
}

absl::StatusOr<jobs::QueueView> SchedulingDesk::View() {
  const jobs::OpenJobs open = store_.Open();
  YOKE_ASSIGN_OR_RETURN(const std::vector<jobs::Lease> leases, store_.ListLeases());
  YOKE_ASSIGN_OR_RETURN(const scheduler::Snapshot snapshot, Take(open, leases, open.size()));
  const scheduler::Plan plan = scheduler::MakePlan(snapshot);
  jobs::QueueView view;
  for (const scheduler::Wait& wait : plan.waits) {
    view.entries.push_back(ToEntry(wait, open[wait.tag].public_job, {snapshot.now, absl::Now()}));
  }
  MutexLock lock(mutex_);
  view.problem = problem_;
  return view;
}

}  // namespace yoke::daemon
