#include "server/shim/phase.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/ipc/attempt_files.h"
#include "common/os/clock.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"
#include "server/shim/hang_watch.h"
#include "server/shim/log_keeper.h"
#include "server/shim/oom.h"

namespace yoke::shim {
namespace {

// stop.json is looked for this often, should the signal that goes with it be lost.
constexpr int64_t kTickMs = 1000;
constexpr int64_t kStartRetryMs = 5000;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

absl::StatusOr<pid_t> StartOnce(const Command& command) {
  YOKE_ASSIGN_OR_RETURN(const os::UniqueFd log,
                        os::Open(command.log, O_WRONLY | O_CREAT | O_APPEND));
  os::SpawnOptions options;
  options.argv = command.argv;
  options.env = command.env;
  options.cwd = command.cwd;
  options.stdout_fd = log.get();
  options.stderr_fd = log.get();
  options.new_group = true;
  options.cgroup = command.cgroup;
  options.dies_with_caller = true;
  options.oom_score = kRankOomScore;
  options.user_processes_max = command.user_processes_max;
  absl::StatusOr<pid_t> pid = os::Spawn(options);
  if (!absl::IsUnimplemented(pid.status())) return pid;
  options.joined_cgroup = std::exchange(options.cgroup, "");
  return os::Spawn(options);
}

// A machine short of processes or memory gets a few seconds.
absl::StatusOr<pid_t> Start(const Command& command) {
  const int64_t deadline = os::BootMilliseconds() + kStartRetryMs;
  for (useconds_t wait = 50'000;; wait *= 2) {
    absl::StatusOr<pid_t> pid = StartOnce(command);
    const bool passing = absl::IsUnavailable(pid.status()) ||
                         absl::IsResourceExhausted(pid.status());
    if (pid.ok() || !passing || os::BootMilliseconds() >= deadline) return pid;
    usleep(wait);
  }
}

// Of several that were found dead at once, how likely it is the one that took the others along: one
// that was killed or crashed, then one that says why, then any other.
int CauseRank(const os::ExitStatus& exit) {
  if (exit.signal != 0 && exit.signal != SIGABRT && exit.signal != SIGTERM) return 0;
  if (exit.exit_code >= ipc::kWorkerBadInput) return 1;
  return 2;
}

std::vector<std::string> LogsOf(const std::vector<Command>& commands) {
  std::vector<std::string> logs;
  for (const Command& command : commands) logs.push_back(command.log);
  return logs;
}

class Gang {
 public:
  Gang(const ipc::AttemptSpec& spec, const std::vector<Command>& commands, Signals& signals,
       Stop& stop)
      : commands_(commands),
        grace_ms_(static_cast<int64_t>(spec.grace_seconds * 1000)),
        signals_(signals),
        stop_(stop),
        hang_watch_(spec, /*prepare=*/commands[0].rank < 0),
        log_keeper_(LogsOf(commands), spec.log_bytes_max),
        cgroup_(spec.cgroup),
        oom_kills_before_(OomKills(spec.cgroup)),
        pids_(commands.size(), 0) {
    for (const Command& command : commands) {
      Ended member;
      member.rank = command.rank;
      result_.members.push_back(member);
    }
  }

  PhaseResult Run(const std::function<void()>& meanwhile) {
    StartAll();
    if (meanwhile) meanwhile();
    log_keeper_.Look();
    while (Running()) {
      const int64_t deadline = EnforceStop();
      const int64_t left = std::max<int64_t>(deadline - os::BootMilliseconds(), 0);
      const int64_t tick = std::min(kTickMs, hang_watch_.tick_ms());
      stop_.Look(signals_.Wait(static_cast<int>(std::min(left, tick))));
      Reap();
      WatchForHang();
      log_keeper_.Look();
    }
    return std::move(result_);
  }

 private:
  bool Running() const {
    return std::any_of(pids_.begin(), pids_.end(), [](pid_t pid) { return pid != 0; });
  }

  void StartAll() {
    for (size_t i = 0; i < commands_.size(); ++i) {
      YOKE_FAILPOINT("shim.rank.before");
      absl::StatusOr<pid_t> pid = Start(commands_[i]);
      YOKE_FAILPOINT("shim.rank.after");
      if (!pid.ok()) {
        result_.start_error = std::string(pid.status().message());
        result_.members[i].exit.exit_code = kNotStarted;
        return Fail(i);
      }
      pids_[i] = *pid;
      result_.members[i].started = true;
    }
  }

  void Fail(size_t member) {
    result_.first_failure = member;
    failure_deadline_ms_ = os::BootMilliseconds() + grace_ms_;
  }

  // Sends what is due. Returns when to come back at the latest.
  int64_t EnforceStop() {
    if (!stop_.requested() && !result_.first_failure) return kNever;
    if (!terminated_) SignalAll(SIGTERM);
    if (!terminated_ && !result_.hang.empty()) SignalAll(SIGCONT);
    terminated_ = true;
    const int64_t deadline =
        std::min(failure_deadline_ms_, stop_.requested() ? stop_.deadline_ms() : kNever);
    if (os::BootMilliseconds() < deadline) return deadline;
    SignalAll(SIGKILL);
    return kNever;
  }

  // To the groups of the members that still run. A leader that is not reaped keeps its group's number
  // from being given away.
  void SignalAll(int signal) {
    for (size_t i = 0; i < pids_.size(); ++i) {
      if (pids_[i] == 0) continue;
      kill(-pids_[i], signal);
      if (signal == SIGKILL) result_.members[i].killed = true;
    }
  }

  void WatchForHang() {
    if (terminated_ || stop_.requested() || result_.first_failure) return;
    const std::optional<Hang> hang = hang_watch_.Look(pids_);
    if (!hang) return;
    result_.hang = hang->message;
    Fail(static_cast<size_t>(std::max(hang->rank, 0)));
  }

  // Also reaps strays: the shim is their reaper.
  void Reap() {
    std::vector<size_t> failed;
    for (;;) {
      int status = 0;
      struct rusage usage = {};
      const pid_t pid = wait4(-1, &status, WNOHANG, &usage);
      if (pid > 0) YOKE_FAILPOINT("shim.reap.after");
      if (pid < 0 && errno == EINTR) continue;
      if (pid <= 0) break;
      const auto found = std::find(pids_.begin(), pids_.end(), pid);
      if (found == pids_.end()) continue;
      *found = 0;
      const size_t index = static_cast<size_t>(found - pids_.begin());
      os::ExitStatus& exit = result_.members[index].exit;
      if (WIFSIGNALED(status)) {
        exit.signal = WTERMSIG(status);
      } else {
        exit.exit_code = WEXITSTATUS(status);
      }
      exit.max_rss_bytes = int64_t{usage.ru_maxrss} * 1024;
      // One that ended by itself while the kill was on its way was not killed by us.
      if (exit.signal != SIGKILL) result_.members[index].killed = false;
      const bool kernel_killed = !result_.members[index].killed && OomKills(cgroup_) > oom_kills_before_;
      result_.members[index].out_of_memory = DiedOfMemory(exit, kernel_killed, commands_[index].log);
      if (!exit.ok()) failed.push_back(index);
    }
    if (failed.empty() || terminated_ || stop_.requested() || result_.first_failure) return;
    Fail(*std::min_element(failed.begin(), failed.end(), [&](size_t a, size_t b) {
      return CauseRank(result_.members[a].exit) < CauseRank(result_.members[b].exit);
    }));
  }

  const std::vector<Command>& commands_;
  const int64_t grace_ms_;
  Signals& signals_;
  Stop& stop_;
  HangWatch hang_watch_;
  LogKeeper log_keeper_;
  const std::string cgroup_;
  const int64_t oom_kills_before_;
  std::vector<pid_t> pids_;  // 0: has ended, or never started
  PhaseResult result_;
  bool terminated_ = false;
  int64_t failure_deadline_ms_ = kNever;
};

}  // namespace

PhaseResult RunPhase(const ipc::AttemptSpec& spec, const std::vector<Command>& commands,
                     Signals& signals, Stop& stop, const std::function<void()>& meanwhile) {
  return Gang(spec, commands, signals, stop).Run(meanwhile);
}

}  // namespace yoke::shim
