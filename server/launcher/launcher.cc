#include "server/launcher/launcher.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/os/cgroup.h"
#include "common/os/clock.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"
#include "common/os/process.h"
#include "server/jobs/ids.h"
#include "server/jobs/open_jobs.h"
#include "server/jobs/state_machine.h"
#include "server/jobs/transitions.h"
#include "server/launcher/containment.h"
#include "server/launcher/finish.h"
#include "server/launcher/live_attempt.h"
#include "server/launcher/quarantine.h"
#include "server/launcher/start.h"
#include "server/launcher/supervisor.h"
#include "server/launcher/sweep.h"
#include "server/launcher/wake.h"
#include "spdlog/spdlog.h"

namespace yoke::launcher {
namespace {

using jobs::JobRecord;
using LeaseChange = jobs::JobStore::LeaseChange;

constexpr int64_t kRetryMs = 1000;          // after an error that may pass
constexpr int64_t kReportEveryMs = 1000;    // progress goes to the store at most that often
// What a job's first moments change is told together, and of a job that is over by then not at all.
constexpr int64_t kTellAfterMs = 20;
constexpr int64_t kSweepAgainMs = 50;
constexpr int64_t kSweepLimitMs = 10'000;   // then the devices are quarantined
constexpr int64_t kQuarantineAgainMs = 5000;
constexpr int64_t kReadingLimitMs = 3000;   // for a reading of the GPUs after an attempt; then likewise
constexpr int64_t kUnwatchedLookMs = 1000;  // where inotify has no watch left
constexpr int kSpawnsMax = 2;

class ThreadLauncher : public Launcher {
 public:
  ThreadLauncher(const LauncherOptions& options, jobs::JobStore& store, devices::DeviceInventory& inventory, Waker waker)
      : options_(options),
        store_(store),
        inventory_(inventory),
        containment_(Containment::Detect(options.use_cgroups ? os::OwnCgroup() : absl::NotFoundError("control groups are switched off"), options.state_dir,
                                         options.processes_max)),
        waker_(std::move(waker)) {}

  ~ThreadLauncher() override {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
    }
    waker_.Wake();
    if (thread_.joinable()) thread_.join();
    containment_.RemoveOthers([](const std::string&) { return true; });
  }

  absl::Status Begin() override {
    YOKE_FAILPOINT("launcher.recover.before");
    std::set<std::string> run_ids;
    for (const JobRecord& job : store_.Open()) {
      if (!jobs::HasLiveAttempt(job.public_job.state()) || job.public_job.attempts_size() == 0) continue;
      run_ids.insert(job.public_job.attempts().rbegin()->run_id());
      spdlog::info("job {}: looking for its attempt {}", job.id, job.public_job.attempts_size());
      Ask(job.id);
    }
    YOKE_ASSIGN_OR_RETURN(const std::vector<jobs::Lease> leases, store_.ListLeases());
    for (const jobs::Lease& lease : leases) {
      MutexLock lock(mutex_);
      if (lease.quarantined) quarantine_due_ms_ = 0;
    }
    spdlog::info("containment: {}", containment_.words());
    containment_.RemoveOthers([&run_ids](const std::string& run_id) { return run_ids.contains(run_id); });
    thread_ = std::thread([this] { Loop(); });
    YOKE_FAILPOINT("launcher.recover.after");
    return absl::OkStatus();
  }

  std::vector<absl::Status> StartEach(const std::vector<StartOrder>& orders) override {
    std::vector<absl::Status> statuses = CommitStarts(options_, store_, inventory_, orders);
    {
      MutexLock lock(mutex_);
      for (size_t i = 0; i < orders.size(); ++i) {
        if (statuses[i].ok()) asked_.push_back(orders[i].job_id);
      }
    }
    waker_.Wake();
    return statuses;
  }

  void CarryOutStop(const std::string& job_id) override { Ask(job_id); }

  const std::string& containment() const override { return containment_.words(); }
  const os::Pulse& pulse() const override { return pulse_; }

  void DevicesChanged() override {
    {
      MutexLock lock(mutex_);
      devices_changed_ = true;
      if (quarantine_due_ms_ != kNever) quarantine_due_ms_ = 0;
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
      pulse_.Work();
      std::vector<std::string> asked;
      bool recheck = false, devices_changed = false;
      {
        MutexLock lock(mutex_);
        if (stopping_) return;
        asked.swap(asked_);
        devices_changed = std::exchange(devices_changed_, false);
        recheck = quarantine_due_ms_ <= os::BootMilliseconds();
      }
      if (unread_due_ms_ <= os::BootMilliseconds()) {
        unread_due_ms_ = kNever;
        for (std::string& id : std::exchange(unread_, {})) asked.push_back(std::move(id));
      }
      for (const std::string& id : asked) ReadJob(id);
      if (devices_changed) StopOnFailedDevices();
      if (recheck) RecheckQuarantine();
      LookWhereDue();
      pulse_.Rest();
      const Waker::Woken woken = waker_.Wait(Pidfds(), TimeoutMs());
      pulse_.Work();
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
    int64_t due = unread_due_ms_;
    for (const auto& [id, attempt] : live_) due = std::min(due, attempt.look_due_ms);
    MutexLock lock(mutex_);
    if (!asked_.empty() || devices_changed_ || stopping_) return 0;
    due = std::min(due, quarantine_due_ms_);
    return due == kNever ? -1 : static_cast<int>(std::clamp<int64_t>(due - os::BootMilliseconds(), 0, INT32_MAX));
  }

  void LookWhereDue() {
    const int64_t now = os::BootMilliseconds();
    std::vector<std::string> due;
    for (auto& [id, attempt] : live_) {
      if (attempt.look_due_ms <= now) due.push_back(id);
    }
    for (const std::string& id : due) Look(live_.at(id));
  }

  absl::StatusOr<JobRecord> ReadRecord(const std::string& id) {
    if (const int error = YOKE_FAILPOINT_ERROR("launcher.read.before"))
      return absl::ErrnoToStatus(error, "cannot read the database");
    return store_.Get(id);
  }

  // Takes up a job's newest attempt, or learns that it shall stop. What cannot be read now is read
  // later: nobody else would ask for it again.
  void ReadJob(const std::string& id) {
    const absl::StatusOr<JobRecord> job = ReadRecord(id);
    if (!job.ok()) {
      spdlog::error("job {}: {}", id, job.status().ToString());
      if (absl::IsNotFound(job.status()) || absl::IsDataLoss(job.status())) return;
      unread_.push_back(id);
      unread_due_ms_ = os::BootMilliseconds() + kRetryMs;
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
    Look(found->second, &*job);
  }

  // No job can go on on a device that failed: it ends, and waits for another device or for this one.
  void StopOnFailedDevices() {
    std::vector<std::string> ids;
    for (const auto& [id, attempt] : live_) {
      const auto failed = [this](const std::string& uuid) { return !inventory_.FaultOf(uuid).empty(); };
      const bool goes_on = !attempt.over && !attempt.over_without_record && !attempt.stop;
      if (goes_on && std::any_of(attempt.device_uuids.begin(), attempt.device_uuids.end(), failed)) ids.push_back(id);
    }
    for (const std::string& id : ids) {
      const jobs::StopIntent intent{jobs::kStopDevice, options_.grace_seconds, "", ""};
      const auto stopped = store_.Update(id, [&](JobRecord& job, LeaseChange&) { return jobs::StopAttempt(job, intent); });
      if (!stopped.ok() && !absl::IsFailedPrecondition(stopped.status())) {
        spdlog::error("job {}: {}", id, stopped.status().ToString());  // tried again with the next reading
      } else {
        spdlog::warn("job {}: its device failed; it is stopped", id);
        ReadJob(id);
      }
    }
  }

  void ShimEnded(const std::string& id) {
    const auto found = live_.find(id);
    if (found == live_.end()) return;
    LiveAttempt& attempt = found->second;
    if (attempt.child) attempt.spawn_problem = ReapProblem(attempt);
    attempt.pidfd.Reset();
    attempt.shim_pid = 0;
    attempt.child = attempt.alive = false;
    Look(attempt);
  }

  // The one place that decides what an attempt needs next. May end it, and then `attempt` is gone.
  // `job`: as it was read a moment ago; null: it was not.
  void Look(LiveAttempt& attempt, const JobRecord* job = nullptr) {
    attempt.look_due_ms = attempt.watched || !attempt.pidfd.valid() ? kNever : os::BootMilliseconds() + kUnwatchedLookMs;
    if (attempt.over || attempt.over_without_record) return Sweep(attempt);
    if (attempt.events.Read()) attempt.report_dirty = true;
    // It was ours when we looked last, and its end would have been told.
    if (attempt.alive && attempt.pidfd.valid()) return Alive(attempt, {.sight = Sight::kAlive});
    absl::StatusOr<Observation> seen = attempt.folder.Observe();
    if (!seen.ok()) {
      spdlog::error("job {}: cannot tell how its attempt is: {}", attempt.job_id, seen.status().ToString());
      return LookAgainIn(attempt, kRetryMs);
    }
    switch (seen->sight) {
      case Sight::kNotStarted:
        return NotStarted(attempt, job);
      case Sight::kAlive:
        return Alive(attempt, *seen);
      case Sight::kEnded: return Over(attempt, std::move(*seen));
      case Sight::kLost:
        spdlog::error("job {}: the shim of attempt {} is gone without a record", attempt.job_id, attempt.number);
        return Over(attempt, std::move(*seen));
    }
  }

  static void LookAgainIn(LiveAttempt& attempt, int64_t ms) { attempt.look_due_ms = std::min(attempt.look_due_ms, os::BootMilliseconds() + ms); }

  void NotStarted(LiveAttempt& attempt, const JobRecord* known) {
    if (attempt.child) return HoldChild(attempt);  // on its way; its files or its end will wake us
    if (attempt.stop) return OverWithoutRecord(attempt, CancelledBeforeStart());
    // A change of the job, its own message too, makes us look at once.
    if (const int64_t early = attempt.spawn_due_ms - os::BootMilliseconds(); early > 0) return LookAgainIn(attempt, early);
    if (attempt.spawns >= kSpawnsMax) return OverWithoutRecord(attempt, SpawnFailedEnding(attempt.spawn_problem));
    const absl::StatusOr<JobRecord> job = known != nullptr ? *known : ReadRecord(attempt.job_id);
    if (!job.ok()) return LookAgainIn(attempt, kRetryMs);
    absl::StatusOr<ipc::AttemptSpec> spec = MakeAttemptSpec(options_, store_, inventory_, *job);
    if (absl::IsNotFound(spec.status()) || absl::IsInvalidArgument(spec.status()))
      return OverWithoutRecord(attempt, SpawnFailedEnding(std::string(spec.status().message())));
    if (!spec.ok()) return LookAgainIn(attempt, kRetryMs);
    ++attempt.spawns;
    attempt.cgroup = spec->cgroup = containment_.Make(attempt.run_id);
    spec->processes_max = containment_.limits_processes() ? 0 : options_.processes_max;
    YOKE_FAILPOINT("launcher.folder.before");
    if (const absl::Status made = attempt.folder.Create(*spec); !made.ok()) return CannotSpawn(attempt, made);
    WatchFolder(attempt);
    YOKE_FAILPOINT("launcher.spawn.before");
    const absl::StatusOr<pid_t> pid = SpawnShim(options_.shim_path, attempt.folder);
    YOKE_FAILPOINT("launcher.spawn.after");
    if (!pid.ok()) return CannotSpawn(attempt, pid.status());
    attempt.shim_pid = *pid;
    attempt.child = true;
    attempt.tell_due_ms = os::BootMilliseconds() + kTellAfterMs;
    HoldChild(attempt);
    spdlog::info("job {}: attempt {} started, shim {}", attempt.job_id, attempt.number, *pid);
  }

  // Its end shall wake us; where no descriptor is left for that, it is looked after until there is
  // one.
  static void HoldChild(LiveAttempt& attempt) {
    if (attempt.pidfd.valid()) return;
    absl::StatusOr<os::UniqueFd> pidfd = os::PidfdOpen(attempt.shim_pid);
    if (!pidfd.ok()) return LookAgainIn(attempt, kRetryMs);
    attempt.pidfd = std::move(*pidfd);
    if (!attempt.watched) LookAgainIn(attempt, kUnwatchedLookMs);
  }

  // No space, no descriptors, no processes left: that may pass, and costs the job nothing.
  void CannotSpawn(LiveAttempt& attempt, const absl::Status& why) {
    if (!absl::IsResourceExhausted(why) && !absl::IsUnavailable(why)) {
      return OverWithoutRecord(attempt, SpawnFailedEnding(std::string(why.message())));
    }
    const absl::Duration delay = RetryDelay(++attempt.refusals);
    spdlog::warn("job {}: its supervisor cannot be started yet: {}", attempt.job_id, why.ToString());
    const auto shown = store_.Update(attempt.job_id, [&](JobRecord& job, LeaseChange&) {
      job.public_job.set_message(absl::StrCat("Cannot be started yet, tried again in ", absl::ToInt64Seconds(delay), " s: ", why.message()));
      return absl::OkStatus();
    });
    if (!shown.ok()) spdlog::error("job {}: {}", attempt.job_id, shown.status().ToString());
    --attempt.spawns;
    attempt.spawn_due_ms = os::BootMilliseconds() + absl::ToInt64Milliseconds(delay);
    LookAgainIn(attempt, absl::ToInt64Milliseconds(delay));
  }

  void WatchFolder(LiveAttempt& attempt) {
    if (!attempt.watched) attempt.watched = waker_.Watch(attempt.folder.dir(), attempt.job_id);
    if (!attempt.watched) LookAgainIn(attempt, kUnwatchedLookMs);
  }

  void Alive(LiveAttempt& attempt, const Observation& seen) {
    WatchFolder(attempt);
    if (!attempt.pidfd.valid() && !Adopt(attempt, seen)) return LookAgainIn(attempt, kSweepAgainMs);
    attempt.alive = attempt.alive || (seen.started && seen.started->pid == attempt.shim_pid);
    if (attempt.stop && !attempt.stop_sent) SendStop(attempt);
    if (attempt.stop_sent) LookAgainIn(attempt, PressOn(attempt) - os::BootMilliseconds());
    Tell(attempt);
  }

  // Brings the store up to what is seen: the shim's pid, RUNNING, and at times the progress.
  void Tell(LiveAttempt& attempt) {
    YOKE_FAILPOINT("launcher.tell.before");
    const int64_t now = os::BootMilliseconds();
    const bool told = attempt.pid_told && attempt.running_told;
    if (!told && now < attempt.tell_due_ms) return LookAgainIn(attempt, attempt.tell_due_ms - now);
    const bool running = !attempt.running_told && attempt.folder.RanksStarted();
    const bool report = attempt.report_dirty && attempt.report_due_ms <= now;
    if (!running && !report && attempt.pid_told) {
      if (attempt.report_dirty) LookAgainIn(attempt, attempt.report_due_ms - now);
      return;
    }
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
    }, jobs::Until::kWritten);
    attempt.report_due_ms = now + kReportEveryMs;
    if (!updated.ok()) {
      spdlog::error("job {}: {}", attempt.job_id, updated.status().ToString());
      return LookAgainIn(attempt, kRetryMs);
    }
    attempt.pid_told = true;
    attempt.report_dirty = false;
    attempt.running_told |= running;
  }

  void Over(LiveAttempt& attempt, Observation seen) {
    attempt.over = std::move(seen);
    BeginSweep(attempt);
  }

  void OverWithoutRecord(LiveAttempt& attempt, Ending ending) {
    attempt.over_without_record = std::move(ending);
    BeginSweep(attempt);
  }

  void BeginSweep(LiveAttempt& attempt) {
    attempt.sweep_deadline_ms = os::BootMilliseconds() + kSweepLimitMs;
    if (!attempt.cgroup) attempt.cgroup = attempt.folder.Cgroup();
    Sweep(attempt);
  }

  // Ends what is left of the attempt; once nothing is, or the limit has passed, writes the job's end.
  void Sweep(LiveAttempt& attempt) {
    YOKE_FAILPOINT("launcher.sweep.before");
    const std::string& cgroup = *attempt.cgroup;
    // A shim that was there to the end has seen that none is; else all processes of the machine are
    // looked at.
    const bool none_left = attempt.over && attempt.over->exit && attempt.over->exit->none_left;
    const bool populated = !cgroup.empty() && os::IsCgroupPopulated(cgroup).value_or(false);
    const std::vector<pid_t> left =
        none_left && !populated ? std::vector<pid_t>() : KillMarked(attempt.run_id, cgroup);
    if ((!left.empty() || populated) && os::BootMilliseconds() < attempt.sweep_deadline_ms) return LookAgainIn(attempt, kSweepAgainMs);
    if (left.empty()) {
      if (!cgroup.empty()) os::RemoveCgroup(cgroup).IgnoreError();  // or at the next start
      os::RemoveUnfinished(attempt.folder.dir());
      os::RemoveUnfinished(RunDir(JobsRoot(options_.state_dir), attempt.job_id) + "/weights");
    }
    if (left.empty() && !IsReadAfterwards(attempt)) return LookAgainIn(attempt, kSweepAgainMs);
    attempt.events.Read();
    const Emptiness empty = LookForHolders(inventory_, attempt.device_uuids, left, attempt.alone, attempt.emptied_ms);
    YOKE_FAILPOINT("launcher.finish.before");
    const auto updated = store_.Update(attempt.job_id, [&](JobRecord& job, LeaseChange& leases) { return Finish(attempt, empty, job, leases); }, jobs::Until::kWritten);
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
    if (attempt.child) os::Wait(attempt.shim_pid).IgnoreError();  // it gave up its lock a moment before its end
    waker_.Unwatch(attempt.job_id);
    live_.erase(live_.find(attempt.job_id));
  }

  // Whether the GPUs have been read since the attempt's last process was gone, or are not read any more. The reading
  // shows who is on them, and a fault of which the attempt may have died.
  bool IsReadAfterwards(LiveAttempt& attempt) {
    if (attempt.emptied_ms == 0) {
      attempt.emptied_ms = os::BootMilliseconds();
      inventory_.ReadSoon();
    }
    return HasReadingSince(inventory_, attempt.device_uuids, attempt.emptied_ms) || os::BootMilliseconds() - attempt.emptied_ms >= kReadingLimitMs;
  }

  absl::Status Finish(const LiveAttempt& attempt, const Emptiness& empty, JobRecord& job, LeaseChange& leases) const {
    ShowReport(attempt, job.public_job);
    const Ending ending = EndingOf(attempt, inventory_, job.stop_requested);
    YOKE_RETURN_IF_ERROR(EndAttempt(ending, options_.tries, absl::Now(), job));
    ShowResult(attempt, ending.peak_rss_bytes, job.public_job);
    leases.release = empty.free;
    leases.quarantine = empty.held;
    leases.quarantine_reason = empty.why;
    return absl::OkStatus();
  }

  // Devices whose last holder may be gone by now are given out again.
  void RecheckQuarantine() {
    const bool any = ReleaseEmptied(store_, inventory_);
    MutexLock lock(mutex_);
    quarantine_due_ms_ = any ? os::BootMilliseconds() + kQuarantineAgainMs : kNever;
  }

  const LauncherOptions options_;
  jobs::JobStore& store_;
  devices::DeviceInventory& inventory_;
  const Containment containment_;
  os::Pulse pulse_;
  Waker waker_;
  std::map<std::string, LiveAttempt> live_;  // of the thread; by job id
  std::vector<std::string> unread_;          // likewise: jobs to read again
  int64_t unread_due_ms_ = kNever;
  Mutex mutex_;
  bool stopping_ YOKE_GUARDED_BY(mutex_) = false;
  std::vector<std::string> asked_ YOKE_GUARDED_BY(mutex_);
  bool devices_changed_ YOKE_GUARDED_BY(mutex_) = false;
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
