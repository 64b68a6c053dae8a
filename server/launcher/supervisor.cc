#include "server/launcher/supervisor.h"

#include <signal.h>

#include "absl/strings/str_cat.h"
#include "common/os/clock.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"
#include "common/os/process.h"
#include "spdlog/spdlog.h"

namespace yoke::launcher {
namespace {

// After the grace. A shim itself gives strays 30 s to go.
constexpr int64_t kOverdueMs = 45'000;
constexpr int64_t kOverdueStoppedMs = 5'000;

}  // namespace

bool Adopt(LiveAttempt& attempt, const Observation& seen) {
  if (!seen.started) return false;
  const pid_t pid = static_cast<pid_t>(seen.started->pid);
  absl::StatusOr<os::UniqueFd> pidfd = os::PidfdOpen(pid);
  const absl::StatusOr<int64_t> ticks = os::StartTicks(pid);
  const absl::StatusOr<std::string> boot = os::BootId();
  const bool same = ticks.ok() && *ticks == seen.started->start_ticks && boot.ok() &&
                    *boot == seen.started->boot_id;
  if (!pidfd.ok() || !same) return false;
  attempt.pidfd = std::move(*pidfd);
  attempt.shim_pid = pid;
  attempt.child = false;
  if (seen.started->protocol > ipc::kProtocolVersion) {
    spdlog::warn("job {}: its shim speaks protocol {}, newer than ours ({}); it is left alone",
                 attempt.job_id, seen.started->protocol, ipc::kProtocolVersion);
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
  spdlog::info("job {}: asked to stop ({}), grace {} s", attempt.job_id, attempt.stop->reason,
               attempt.stop->grace_seconds);
  attempt.stop_sent = sent.ok() || absl::IsNotFound(sent);
  attempt.grace_ends_ms =
      os::BootMilliseconds() + static_cast<int64_t>(attempt.stop->grace_seconds * 1000);
}

int64_t PressOn(const LiveAttempt& attempt) {
  const int64_t now = os::BootMilliseconds();
  const int64_t first_look = attempt.grace_ends_ms + kOverdueStoppedMs;
  if (now < first_look) return first_look;
  const absl::StatusOr<os::ProcessStat> shim = os::ReadProcessStat(attempt.shim_pid);
  const bool overdue = now >= attempt.grace_ends_ms + kOverdueMs;
  if (overdue) {
    spdlog::error("job {}: its shim {} does not carry out the stop; it is killed", attempt.job_id,
                  attempt.shim_pid);
  } else if (shim.ok() && shim->state == 'T') {
    spdlog::warn(
        "job {}: its shim {} is stopped (SIGSTOP) and was asked to stop the job; it is "
        "continued",
        attempt.job_id, attempt.shim_pid);
  } else {
    return now + kOverdueStoppedMs;
  }
  // Its end wakes us, or we look again.
  os::PidfdSignal(attempt.pidfd.get(), overdue ? SIGKILL : SIGCONT).IgnoreError();
  return now + kOverdueStoppedMs;
}

std::string ReapProblem(const LiveAttempt& attempt) {
  const absl::StatusOr<os::ExitStatus> exit = os::Wait(attempt.shim_pid);
  if (!exit.ok()) return std::string(exit.status().message());
  if (exit->signal != 0) return absl::StrCat("it was killed by signal ", exit->signal);
  const absl::StatusOr<std::string> said = os::ReadTail(attempt.folder.Path("shim.log"), 500);
  return absl::StrCat("it ended with exit code ", exit->exit_code,
                      said.ok() && !said->empty() ? absl::StrCat(": ", *said) : "");
}

}  // namespace yoke::launcher
