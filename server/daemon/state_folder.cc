#include "server/daemon/state_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"

namespace yoke::daemon {

absl::StatusOr<StateFolder> OpenStateFolder(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    YOKE_RETURN_IF_ERROR(os::MakeDirs(path, 0700));
  } else if (!S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat("the state folder ", path, " is no folder; choose another with --state"));
  }
  if (access(path.c_str(), R_OK | W_OK | X_OK) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("the state folder ", path, " cannot be used"));
  }
  const std::string lock_path = path + "/lock";
  absl::StatusOr<os::OfdLock> lock = os::OfdLock::Take(lock_path);
  if (absl::IsFailedPrecondition(lock.status())) {
    const absl::StatusOr<std::string> pid = os::ReadFile(lock_path, 64);
    return absl::FailedPreconditionError(absl::StrCat("the state folder ", path, " is locked by pid ",
                                                      pid.ok() ? absl::StripAsciiWhitespace(*pid) : "(unknown)",
                                                      ": another yoked works there. Stop it first, or choose another folder with --state"));
  }
  if (!lock.ok()) return lock.status();
  YOKE_FAILPOINT("daemon.lock.after");
  if (ftruncate(lock->fd(), 0) != 0) return os::ErrnoStatus(errno, absl::StrCat("cannot write ", lock_path));
  YOKE_RETURN_IF_ERROR(os::WriteAll(lock->fd(), absl::StrCat(getpid(), "\n"), lock_path));
  return StateFolder{std::move(*lock), os::FileExists(path + "/jobs")};
}

}  // namespace yoke::daemon
