#include "server/launcher/launcher.h"

#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <map>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/os/clock.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"
#include "common/os/process.h"
#include "server/jobs/ids.h"
#include "server/jobs/state_machine.h"
#include "server/launcher/live_attempt.h"
#include "server/launcher/start.h"
#include "server/launcher/sweep.h"
#include "server/launcher/wake.h"
#include "spdlog/spdlog.h"

namespace yoke::launcher {
namespace {

using jobs::JobRecord;
using LeaseChange = jobs::JobStore::LeaseChange;

constexpr int64_t kRetryMs = 1000;          // after an error that may pass
constexpr int64_t kReportEveryMs = 1000;    // progress goes to the store at most that often
constexpr int64_t kSweepAgainMs = 50;
constexpr int64_t kSweepLimitMs = 10'000;   // then the devices are quarantined
constexpr int64_t kQuarantineAgainMs = 5000;
constexpr int64_t kUnwatchedLookMs = 1000;  // where inotify has no watch left
constexpr int kSpawnsMax = 2;

class ThreadLauncher : public Launcher {
 public:
  ThreadLauncher(const LauncherOptions& options, jobs::JobStore& store, devices::DeviceInventory& inventory, Waker waker)
      : options_(options), store_(store), inventory_(inventory), waker_(std::move(waker)) {}

  ~ThreadLauncher() override {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
    }
    waker_.Wake();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Begin() override {
    YOKE_FAILPOINT("launcher.recover.before");
    YOKE_ASSIGN_OR_RETURN(const std::vector<JobRecord> open, store_.ListOpen());
    for (const JobRecord& job : open) {
      if (!jobs::HasLiveAttempt(job.public_job.state())) continue;
      spdlog::info("job {}: looking for its attempt {}", job.id, job.public_job.attempts_size());
      Ask(job.id);
    }
    YOKE_ASSIGN_OR_RETURN(const std::vector<jobs::Lease> leases, store_.ListLeases());
    for (const jobs::Lease& lease : leases) {
      MutexLock lock(mutex_);
      if (lease.quarantined) quarantine_due_ms_ = 0;
    }
    thread_ = std::thread([this] { Loop(); });
    YOKE_FAILPOINT("launcher.recover.after");
    return absl::OkStatus();
  }

  absl::Status Start(const std::string& job_id, const std::vector<std::string>& device_uuids) override {
    YOKE_RETURN_IF_ERROR(CommitStart(options_, store_, inventory_, job_id, device_uuids));
    Ask(job_id);
    return absl::OkStatus();
  }

  void CarryOutStop(const std::string& job_id) override { Ask(job_id); }

  void DevicesChanged() override {
    {
      MutexLock lock(mutex_);
      if (quarantine_due_ms_ == kNever) return;
      quarantine_due_ms_ = 0;
    }
    waker_.Wake();
  }

 private:
  // The thread shall read the job anew.
  void Ask(const std::string& job_id) {
    {
      MutexLock lock(mutex_);
      asked_.push_back(job_id);
    }
    waker_.Wake();
  }

  void Loop() {
    for (;;) {
      std::vector<std::string> asked;
      bool recheck = false;
      {
        MutexLock lock(mutex_);
        if (stopping_) return;
        asked.swap(asked_);
        recheck = quarantine_due_ms_ <= os::BootMilliseconds();
      }
      for (const std::string& id : asked) ReadJob(id);
      if (recheck) RecheckQuarantine();
      LookWhereDue();
      const Waker::Woken woken = waker_.Wait(Pidfds(), TimeoutMs());
      for (const std::string& id : woken.ended) ShimEnded(id);
      for (const std::string& id : woken.changed) {
        if (const auto found = live_.find(id); found != live_.end()) Look(found->second);
      }
    }
  }

  std::vector<Waker::Pidfd> Pidfds() const {
    std::vector<Waker::Pidfd> pidfds;
    for (const auto& [id, attempt] : live_) {
      if (attempt.pidfd.valid()) pidfds.push_back({id, attempt.pidfd.get()});
    }
    return pidfds;
  }

  int TimeoutMs() {
    int64_t due = kNever;
    for (const auto& [id, attempt] : live_) {
      due = std::min(due, attempt.look_due_ms);
      if (attempt.report_dirty) due = std::min(due, attempt.report_due_ms);
    }
    MutexLock lock(mutex_);
    if (!asked_.empty() || stopping_) return 0;
    due = std::min(due, quarantine_due_ms_);
    return due == kNever ? -1 : static_cast<int>(std::clamp<int64_t>(due - os::BootMilliseconds(), 0, INT32_MAX));
  }

  void LookWhereDue() {
    const int64_t now = os::BootMilliseconds();
    std::vector<std::string> due;
    for (auto& [id, attempt] : live_) {
      if (attempt.look_due_ms <= now || (attempt.report_dirty && attempt.report_due_ms <= now)) due.push_back(id);
    }
    for (const std::string& id : due) Look(live_.at(id));
  }

  // Takes up a job's newest attempt, or learns that it shall stop.
  void ReadJob(const std::string& id) {
    const absl::StatusOr<JobRecord> job = store_.Get(id);
    if (!job.ok()) {
      spdlog::error("job {}: {}", id, job.status().ToString());
      return;
    }
    if (!jobs::HasLiveAttempt(job->public_job.state()) || job->public_job.attempts_size() == 0) return;
    const v1::Attempt& newest = job->public_job.attempts(job->public_job.attempts_size() - 1);
    auto found = live_.find(id);
    if (found == live_.end()) {
      found = live_.try_emplace(id, id, newest.number(), newest.run_id(), AttemptDir(JobsRoot(options_.state_dir), id, newest.number())).first;
      found->second.device_uuids.assign(newest.device_uuids().begin(), newest.device_uuids().end());
      found->second.alone = job->public_job.scheduling().share_memory_bytes() == 0;
      found->second.running_told = job->public_job.state() != v1::Job::STARTING;
    }
    if (job->stop_requested) {
      const ipc::StopRequest request{job->stop_reason.empty() ? "cancel" : job->stop_reason, job->stop_grace_seconds};
      std::optional<ipc::StopRequest>& known = found->second.stop;
      if (!known || known->grace_seconds != request.grace_seconds) found->second.stop_sent = false;
      known = request;
    }
    Look(found->second);
  }

  void ShimEnded(const std::string& id) {
    const auto found = live_.find(id);
    if (found == live_.end()) return;
    LiveAttempt& attempt = found->second;
    if (attempt.child) {
      const absl::StatusOr<os::ExitStatus> exit = os::Wait(attempt.shim_pid);
      attempt.spawn_problem = !exit.ok()         ? std::string(exit.status().message())
                              : exit->signal != 0 ? absl::StrCat("it was killed by signal ", exit->signal)
                                                  : absl::StrCat("it ended with exit code ", exit->exit_code, Tail(attempt));
    }
    attempt.pidfd.Reset();
    attempt.shim_pid = 0;
    attempt.child = false;
    Look(attempt);
  }

  // What the shim said when it could not begin.
  std::string Tail(const LiveAttempt& attempt) const {
    const absl::StatusOr<std::string> text = os::ReadTail(attempt.folder.Path("shim.log"), 500);
    return !text.ok() || text->empty() ? "" : absl::StrCat(": ", *text);
  }

  // The one place that decides what an attempt needs next. May end it, and then `attempt` is gone.
  void Look(LiveAttempt& attempt) {
    attempt.look_due_ms = attempt.watched || !attempt.pidfd.valid() ? kNever : os::BootMilliseconds() + kUnwatchedLookMs;
    if (attempt.over || attempt.over_without_record) return Sweep(attempt);
    if (attempt.events.Read()) attempt.report_dirty = true;
    absl::StatusOr<Observation> seen = attempt.folder.Observe();
    if (!seen.ok()) {
      spdlog::error("job {}: cannot tell how its attempt is: {}", attempt.job_id, seen.status().ToString());
      return LookAgainIn(attempt, kRetryMs);
    }
    switch (seen->sight) {
      case Sight::kNotStarted: return NotStarted(attempt);
      case Sight::kAlive: return Alive(attempt, *seen);
      case Sight::kEnded: return Over(attempt, std::move(*seen));
      case Sight::kLost:
        spdlog::error("job {}: the shim of attempt {} is gone without a record", attempt.job_id, attempt.number);
        return Over(attempt, std::move(*seen));
    }
  }

  static void LookAgainIn(LiveAttempt& attempt, int64_t ms) { attempt.look_due_ms = std::min(attempt.look_due_ms, os::BootMilliseconds() + ms); }

  void NotStarted(LiveAttempt& attempt) {
    if (attempt.child) return;  // on its way; its files or its end will wake us
    if (attempt.stop) return OverWithoutRecord(attempt, CancelledBeforeStart());
    if (attempt.spawns >= kSpawnsMax) return OverWithoutRecord(attempt, SpawnFailedEnding(attempt.spawn_problem));
    ++attempt.spawns;
    const absl::StatusOr<JobRecord> job = store_.Get(attempt.job_id);
    if (!job.ok()) return LookAgainIn(attempt, kRetryMs);
    const absl::StatusOr<ipc::AttemptSpec> spec = MakeAttemptSpec(options_, store_, inventory_, *job);
    if (!spec.ok()) return OverWithoutRecord(attempt, SpawnFailedEnding(std::string(spec.status().message())));
    YOKE_FAILPOINT("launcher.folder.before");
    if (const absl::Status made = attempt.folder.Create(*spec); !made.ok()) return CannotSpawn(attempt, made);
    WatchFolder(attempt);
    YOKE_FAILPOINT("launcher.spawn.before");
    const absl::StatusOr<pid_t> pid = SpawnShim(options_.shim_path, attempt.folder);
    YOKE_FAILPOINT("launcher.spawn.after");
    if (!pid.ok()) return CannotSpawn(attempt, pid.status());
    attempt.shim_pid = *pid;
    attempt.child = true;
    absl::StatusOr<os::UniqueFd> pidfd = os::PidfdOpen(*pid);
    YOKE_CHECK_MSG(pidfd.ok(), pidfd.status().ToString());  // an unreaped child always has one
    attempt.pidfd = std::move(*pidfd);
    spdlog::info("job {}: attempt {} started, shim {}", attempt.job_id, attempt.number, *pid);
  }

  // No space, no descriptors, no processes left: that may pass, and costs the job nothing.
  void CannotSpawn(LiveAttempt& attempt, const absl::Status& why) {
    if (!absl::IsResourceExhausted(why) && !absl::IsUnavailable(why)) {
      return OverWithoutRecord(attempt, SpawnFailedEnding(std::string(why.message())));
    }
    spdlog::warn("job {}: its supervisor cannot be started yet: {}", attempt.job_id, why.ToString());
    --attempt.spawns;
    LookAgainIn(attempt, kRetryMs);
  }

  void WatchFolder(LiveAttempt& attempt) {
    if (!attempt.watched) attempt.watched = waker_.Watch(attempt.folder.dir(), attempt.job_id);
    if (!attempt.watched) LookAgainIn(attempt, kUnwatchedLookMs);
  }

  void Alive(LiveAttempt& attempt, const Observation& seen) {
    WatchFolder(attempt);
    if (!attempt.pidfd.valid() && !Adopt(attempt, seen)) return LookAgainIn(attempt, kSweepAgainMs);
    if (attempt.stop && !attempt.stop_sent) SendStop(attempt);
    Tell(attempt);
  }

  // The shim of another life of the daemon. False while its start record is being written.
  bool Adopt(LiveAttempt& attempt, const Observation& seen) {
    if (!seen.started) return false;
    const pid_t pid = static_cast<pid_t>(seen.started->pid);
    absl::StatusOr<os::UniqueFd> pidfd = os::PidfdOpen(pid);
    const absl::StatusOr<int64_t> ticks = os::StartTicks(pid);
    if (!pidfd.ok() || !ticks.ok() || *ticks != seen.started->start_ticks) return false;
    attempt.pidfd = std::move(*pidfd);
    attempt.shim_pid = pid;
    attempt.child = false;
    if (seen.started->protocol > ipc::kProtocolVersion) {
      spdlog::warn("job {}: its shim speaks protocol {}, newer than ours ({}); it is left alone", attempt.job_id, seen.started->protocol,
                   ipc::kProtocolVersion);
    }
    YOKE_FAILPOINT("launcher.adopt.after");
    spdlog::info("job {}: adopted attempt {}, shim {}", attempt.job_id, attempt.number, pid);
    return true;
  }

  void SendStop(LiveAttempt& attempt) {
    YOKE_FAILPOINT("launcher.stop.before");
    if (const absl::Status written = attempt.folder.WriteStop(*attempt.stop); !written.ok()) {
      // The signal alone stops it as well, with the default grace.
      spdlog::warn("job {}: {}", attempt.job_id, written.ToString());
    }
    YOKE_FAILPOINT("launcher.signal.before");
    const absl::Status sent = os::PidfdSignal(attempt.pidfd.get(), SIGTERM);
    YOKE_FAILPOINT("launcher.signal.after");
    spdlog::info("job {}: asked to stop ({}), grace {} s", attempt.job_id, attempt.stop->reason, attempt.stop->grace_seconds);
    attempt.stop_sent = sent.ok() || absl::IsNotFound(sent);
  }

  // Brings the store up to what is seen: the shim's pid, RUNNING, and at times the progress.
  void Tell(LiveAttempt& attempt) {
    YOKE_FAILPOINT("launcher.tell.before");
    const int64_t now = os::BootMilliseconds();
    const bool running = !attempt.running_told && attempt.folder.RanksStarted();
    const bool report = attempt.report_dirty && attempt.report_due_ms <= now;
    if (!running && !report && attempt.pid_told) return;
    const auto updated = store_.Update(attempt.job_id, [&](JobRecord& job, LeaseChange&) {
      ShowReport(attempt, job.public_job);
      if (job.public_job.attempts_size() > 0) job.public_job.mutable_attempts(job.public_job.attempts_size() - 1)->set_shim_pid(attempt.shim_pid);
      if (!running) return absl::OkStatus();
      // A job that is stopping stays so.
      if (const auto next = jobs::Next(job.public_job.state(), jobs::JobEventKind::kRanksUp); next.ok()) {
        job.public_job.set_state(*next);
        job.public_job.clear_message();
      }
      return absl::OkStatus();
    });
    attempt.report_due_ms = now + kReportEveryMs;
    if (!updated.ok()) {
      spdlog::error("job {}: {}", attempt.job_id, updated.status().ToString());
      return LookAgainIn(attempt, kRetryMs);
    }
    attempt.pid_told = true;
    attempt.report_dirty = false;
    attempt.running_told |= running;
  }

  static void ShowReport(const LiveAttempt& attempt, v1::Job& job) {
    const Report& report = attempt.events.report();
    *job.mutable_progress() = report.progress;
    if (!report.banner.empty()) job.mutable_banner()->Assign(report.banner.begin(), report.banner.end());
    for (const std::string& warning : report.warnings) {
      if (std::find(job.warnings().begin(), job.warnings().end(), warning) == job.warnings().end()) job.add_warnings(warning);
    }
  }

  void Over(LiveAttempt& attempt, Observation seen) {
    attempt.over = std::move(seen);
    attempt.sweep_deadline_ms = os::BootMilliseconds() + kSweepLimitMs;
    Sweep(attempt);
  }

  void OverWithoutRecord(LiveAttempt& attempt, Ending ending) {
    attempt.over_without_record = std::move(ending);
    attempt.sweep_deadline_ms = os::BootMilliseconds() + kSweepLimitMs;
    Sweep(attempt);
  }

  // Ends what is left of the attempt; once nothing is, or the limit has passed, writes the job's end.
  void Sweep(LiveAttempt& attempt) {
    YOKE_FAILPOINT("launcher.sweep.before");
    const std::vector<pid_t> left = KillMarked(attempt.run_id);
    if (!left.empty() && os::BootMilliseconds() < attempt.sweep_deadline_ms) return LookAgainIn(attempt, kSweepAgainMs);
    if (left.empty()) {
      os::RemoveUnfinished(attempt.folder.dir());
      os::RemoveUnfinished(RunDir(JobsRoot(options_.state_dir), attempt.job_id) + "/weights");
    }
    attempt.events.Read();
    const Emptiness empty = LookForHolders(inventory_, attempt.device_uuids, left, attempt.alone);
    YOKE_FAILPOINT("launcher.finish.before");
    const auto updated = store_.Update(attempt.job_id, [&](JobRecord& job, LeaseChange& leases) { return Finish(attempt, empty, job, leases); });
    YOKE_FAILPOINT("launcher.finish.after");
    if (!updated.ok()) {
      spdlog::error("job {}: its end cannot be stored: {}", attempt.job_id, updated.status().ToString());
      return LookAgainIn(attempt, kRetryMs);
    }
    spdlog::info("job {}: {} ({})", attempt.job_id, v1::Job::State_Name(updated->public_job.state()), updated->public_job.message());
    if (!empty.held.empty()) {
      spdlog::warn("job {}: {} device(s) quarantined: {}", attempt.job_id, empty.held.size(), empty.why);
      MutexLock lock(mutex_);
      quarantine_due_ms_ = os::BootMilliseconds() + kQuarantineAgainMs;
    }
    waker_.Unwatch(attempt.job_id);
    live_.erase(live_.find(attempt.job_id));
  }

  absl::Status Finish(const LiveAttempt& attempt, const Emptiness& empty, JobRecord& job, LeaseChange& leases) const {
    v1::Job& shown = job.public_job;
    ShowReport(attempt, shown);
    Ending ending;
    if (attempt.over_without_record) {
      ending = *attempt.over_without_record;
    } else if (attempt.over->exit) {
      ending = EndingOf(*attempt.over->exit, FailedReport(attempt, *attempt.over->exit));
    } else {
      ending = LostEnding(job.stop_requested, Rebooted(attempt));
    }
    YOKE_RETURN_IF_ERROR(EndAttempt(ending, options_.tries, absl::Now(), job));
    std::vector<Report> others;
    for (int rank = 1; rank < shown.attempts(shown.attempts_size() - 1).world_size(); ++rank) others.push_back(ReportOf(attempt, rank));
    const v1::JobResult result = ResultOf(attempt.events.report(), others, ending.peak_rss_bytes, shown.run_dir());
    if (result.ByteSizeLong() > 0) *shown.mutable_result() = result;
    leases.release = empty.free;
    leases.quarantine = empty.held;
    leases.quarantine_reason = empty.why;
    return absl::OkStatus();
  }

  static bool Rebooted(const LiveAttempt& attempt) {
    const absl::StatusOr<std::string> boot = os::BootId();
    return attempt.over->started && boot.ok() && attempt.over->started->boot_id != *boot;
  }

  static Report ReportOf(const LiveAttempt& attempt, int rank) {
    EventFollower follower(attempt.folder.Path(ipc::RankEventsName(rank)));
    follower.Read();
    return follower.report();
  }

  static Report FailedReport(const LiveAttempt& attempt, const ipc::ExitRecord& record) {
    if (!record.has_first_failure) return {};
    Report report = ReportOf(attempt, record.first_failure.rank);
    if (record.first_failure.rank < 0 && report.error_message.empty()) ReadPrepareAnswer(record.last_lines, report);
    return report;
  }

  // Devices whose last holder may be gone by now are given out again.
  void RecheckQuarantine() {
    bool any = false;
    const absl::StatusOr<std::vector<jobs::Lease>> leases = store_.ListLeases();
    if (!leases.ok()) spdlog::error("{}", leases.status().ToString());
    for (const jobs::Lease& lease : leases.ok() ? *leases : std::vector<jobs::Lease>()) {
      if (lease.quarantined && !Release(lease)) any = true;
    }
    MutexLock lock(mutex_);
    quarantine_due_ms_ = any || !leases.ok() ? os::BootMilliseconds() + kQuarantineAgainMs : kNever;
  }

  bool Release(const jobs::Lease& lease) {
    const auto updated = store_.Update(lease.job_id, [&](JobRecord& job, LeaseChange& change) -> absl::Status {
      if (lease.attempt < 1 || lease.attempt > job.public_job.attempts_size()) return absl::InternalError("lease of an unknown attempt");
      const std::vector<pid_t> left = KillMarked(job.public_job.attempts(lease.attempt - 1).run_id());
      if (!LookForHolders(inventory_, {lease.device_uuid}, left, lease.shared_bytes == 0)
               .held.empty())
        return absl::FailedPreconditionError("still held");
      change.release = {lease.device_uuid};
      return absl::OkStatus();
    });
    if (updated.ok()) spdlog::info("device {}: empty, no longer quarantined", lease.device_uuid);
    return updated.ok();
  }

  const LauncherOptions options_;
  jobs::JobStore& store_;
  devices::DeviceInventory& inventory_;
  Waker waker_;
  std::map<std::string, LiveAttempt> live_;  // of the thread; by job id
  Mutex mutex_;
  bool stopping_ YOKE_GUARDED_BY(mutex_) = false;
  std::vector<std::string> asked_ YOKE_GUARDED_BY(mutex_);
  int64_t quarantine_due_ms_ YOKE_GUARDED_BY(mutex_) = kNever;  // kNever: nothing is quarantined
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Launcher> MakeLauncher(const LauncherOptions& options, jobs::JobStore& store, devices::DeviceInventory& inventory) {
  absl::StatusOr<Waker> waker = Waker::Open();
  YOKE_CHECK_MSG(waker.ok(), waker.status().ToString());
  return std::make_unique<ThreadLauncher>(options, store, inventory, std::move(*waker));
}

}  // namespace yoke::launcher
