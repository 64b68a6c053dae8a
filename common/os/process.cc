#include "common/os/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/os/file.h"

namespace yoke::os {
namespace {

absl::StatusOr<std::optional<ExitStatus>> WaitFor(pid_t pid, int options) {
  for (;;) {
    int status = 0;
    struct rusage usage = {};
    const pid_t got = wait4(pid, &status, options, &usage);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, absl::StrCat("cannot wait for process ", pid));
    if (got == 0) return std::nullopt;
    ExitStatus exit;
    if (WIFSIGNALED(status)) {
      exit.signal = WTERMSIG(status);
    } else {
      exit.exit_code = WEXITSTATUS(status);
    }
    exit.max_rss_bytes = int64_t{usage.ru_maxrss} * 1024;
    return exit;
  }
}

std::vector<pid_t> AllProcesses() {
  std::vector<pid_t> pids;
  std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir("/proc"), closedir);
  if (folder == nullptr) return pids;
  while (const dirent* entry = readdir(folder.get())) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(entry->d_name, &pid)) pids.push_back(pid);
  }
  return pids;
}

}  // namespace

absl::StatusOr<ExitStatus> Wait(pid_t pid) {
  YOKE_ASSIGN_OR_RETURN(std::optional<ExitStatus> exit, WaitFor(pid, 0));
  return *exit;
}

absl::StatusOr<std::optional<ExitStatus>> TryWait(pid_t pid) { return WaitFor(pid, WNOHANG); }

absl::StatusOr<UniqueFd> PidfdOpen(pid_t pid) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd >= 0) return UniqueFd(fd);
  if (errno == ESRCH) return absl::NotFoundError(absl::StrCat("there is no process ", pid));
  return ErrnoStatus(errno, absl::StrCat("cannot open process ", pid));
}

absl::Status PidfdSignal(int pidfd, int signal) {
  if (syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return absl::OkStatus();
  if (errno == ESRCH) return absl::NotFoundError("the process has ended");
  return ErrnoStatus(errno, absl::StrCat("cannot send signal ", signal));
}

absl::StatusOr<ProcessStat> ReadProcessStat(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/stat");
  absl::StatusOr<std::string> text = ReadFile(path);
  // A process that ends between open and read gives ESRCH, not ENOENT.
  if (!text.ok() || text->empty()) {
    return absl::NotFoundError(absl::StrCat("there is no process ", pid));
  }
  // The name, in brackets, may hold blanks and brackets itself: count from the last one.
  const size_t end = text->rfind(") ");
  if (end == std::string::npos) return absl::InternalError(absl::StrCat("cannot parse ", path));
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(*text).substr(end + 2), ' ');
  ProcessStat stat;
  int64_t user_ticks = 0, system_ticks = 0;
  if (fields.size() < 20 || fields[0].size() != 1 || !absl::SimpleAtoi(fields[1], &stat.parent) ||
      !absl::SimpleAtoi(fields[2], &stat.group) || !absl::SimpleAtoi(fields[3], &stat.session) ||
      !absl::SimpleAtoi(fields[11], &user_ticks) || !absl::SimpleAtoi(fields[12], &system_ticks) ||
      !absl::SimpleAtoi(fields[19], &stat.start_ticks)) {
    return absl::InternalError(absl::StrCat("cannot parse ", path));
  }
  stat.state = fields[0][0];
  stat.cpu_ticks = user_ticks + system_ticks;
  return stat;
}

absl::StatusOr<int64_t> StartTicks(pid_t pid) {
  YOKE_ASSIGN_OR_RETURN(const ProcessStat stat, ReadProcessStat(pid));
  return stat.start_ticks;
}

absl::StatusOr<char> ProcessState(pid_t pid) {
  YOKE_ASSIGN_OR_RETURN(const ProcessStat stat, ReadProcessStat(pid));
  return stat.state;
}

absl::StatusOr<std::string> BootId() {
  YOKE_ASSIGN_OR_RETURN(std::string id, ReadFile("/proc/sys/kernel/random/boot_id"));
  return std::string(absl::StripAsciiWhitespace(id));
}

bool HasEnv(pid_t pid, std::string_view assignment) {
  const absl::StatusOr<std::string> env = ReadFile(absl::StrCat("/proc/", pid, "/environ"));
  if (!env.ok()) return false;
  const std::vector<absl::string_view> entries = absl::StrSplit(*env, '\0');
  return std::any_of(entries.begin(), entries.end(), [&](absl::string_view entry) {
    return ToStd(entry) == assignment;
  });
}

std::vector<pid_t> FindProcessesWithEnv(std::string_view assignment) {
  std::vector<pid_t> pids = AllProcesses();
  std::erase_if(pids, [&](pid_t pid) { return !HasEnv(pid, assignment); });
  return pids;
}

int64_t CountThreadsOfUser() {
  int64_t threads = 0;
  for (const pid_t pid : AllProcesses()) {
    const std::string folder = absl::StrCat("/proc/", pid, "/task");
    struct stat info = {};
    // Each thread is a folder, and each folder in a folder a link to it.
    if (stat(folder.c_str(), &info) == 0 && info.st_uid == getuid()) threads += static_cast<int64_t>(info.st_nlink) - 2;
  }
  return threads;
}

void SetOomScore(pid_t pid, int score) {
  const std::string path = absl::StrCat("/proc/", pid == 0 ? "self" : absl::StrCat(pid), "/oom_score_adj");
  const absl::StatusOr<UniqueFd> fd = Open(path, O_WRONLY);
  if (fd.ok()) WriteAll(fd->get(), absl::StrCat(score), path).IgnoreError();
}

std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::vector<pid_t> children;
  for (const pid_t pid : AllProcesses()) {
    const absl::StatusOr<ProcessStat> stat = ReadProcessStat(pid);
    if (stat.ok() && stat->parent == parent) children.push_back(pid);
  }
  return children;
}

}  // namespace yoke::os
