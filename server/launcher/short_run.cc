#include "server/launcher/short_run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/ipc/attempt_files.h"
#include "common/os/clock.h"
#include "common/os/file.h"
#include "common/os/process.h"
#include "server/launcher/sweep.h"

namespace yoke::launcher {
namespace {

constexpr size_t kOutputMax = 4 << 20;
constexpr size_t kTalkMax = 4 << 10;
constexpr int kOomScore = 500;  // as that of a rank: sooner than the daemon

// False if `limit` passed first.
bool WaitForEnd(int pidfd, absl::Duration limit) {
  const int64_t deadline = os::BootMilliseconds() + absl::ToInt64Milliseconds(limit);
  pollfd fd = {pidfd, POLLIN, 0};
  for (;;) {
    const int64_t left = deadline - os::BootMilliseconds();
    if (left <= 0) return false;
    if (poll(&fd, 1, static_cast<int>(left)) > 0) return true;
  }
}

}  // namespace

void EndShortRuns(const std::string& root) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(root, error), end; !error && entry != end; entry.increment(error)) {
    KillMarked(entry->path().filename().string());
    std::error_code ignored;  // tried again at the next start
    std::filesystem::remove_all(entry->path(), ignored);
  }
}

absl::StatusOr<ShortRun> RunShortly(const std::vector<std::string>& argv, const std::string& folder, const std::string& run_id, absl::Duration limit) {
  const std::string out = folder + "/stdout", err = folder + "/stderr";
  YOKE_ASSIGN_OR_RETURN(const os::UniqueFd out_fd, os::Open(out, O_WRONLY | O_CREAT | O_TRUNC));
  YOKE_ASSIGN_OR_RETURN(const os::UniqueFd err_fd, os::Open(err, O_WRONLY | O_CREAT | O_TRUNC));
  os::SpawnOptions options;
  options.argv = argv;
  options.env = os::CurrentEnv();
  os::SetEnv(options.env, ipc::kRunIdVariable, run_id);
  options.stdout_fd = out_fd.get();
  options.stderr_fd = err_fd.get();
  options.cwd = folder;
  options.new_session = true;
  YOKE_ASSIGN_OR_RETURN(const pid_t pid, os::Spawn(options));
  os::SetOomScore(pid, kOomScore);
  const absl::StatusOr<os::UniqueFd> pidfd = os::PidfdOpen(pid);
  const bool in_time = pidfd.ok() && WaitForEnd(pidfd->get(), limit);
  if (!in_time) kill(pid, SIGKILL);
  YOKE_ASSIGN_OR_RETURN(const os::ExitStatus exit, os::Wait(pid));
  KillMarked(run_id);
  if (!in_time) {
    return absl::DeadlineExceededError(absl::StrCat("the check of data and weights took longer than ", absl::FormatDuration(limit),
                                                    " and was ended; submit without it (--no-check): the job itself has no such limit"));
  }
  ShortRun run;
  run.exit_code = exit.exit_code;
  run.signal = exit.signal;
  YOKE_ASSIGN_OR_RETURN(run.output, os::ReadTail(out, kOutputMax));
  YOKE_ASSIGN_OR_RETURN(run.talk, os::ReadTail(err, kTalkMax));
  return run;
}

}  // namespace yoke::launcher
