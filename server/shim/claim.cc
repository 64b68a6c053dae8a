#include "server/shim/claim.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"
#include "common/os/process.h"

namespace yoke::shim {
namespace {

absl::StatusOr<std::string> OwnStartRecord(const ipc::AttemptSpec& spec) {
  ipc::StartRecord record;
  record.pid = getpid();
  YOKE_ASSIGN_OR_RETURN(record.start_ticks, os::StartTicks(getpid()));
  YOKE_ASSIGN_OR_RETURN(record.boot_id, os::BootId());
  record.run_id = spec.run_id;
  return ipc::ToJson(record).dump(2) + "\n";
}

std::string StartedPath(const ipc::AttemptSpec& spec) {
  return absl::StrCat(spec.attempt_dir, "/started");
}

absl::Status SyncPath(const std::string& path) {
  YOKE_ASSIGN_OR_RETURN(const os::UniqueFd fd, os::Open(path, O_RDONLY));
  return os::SyncFile(fd.get(), path);
}

}  // namespace

absl::StatusOr<os::OfdLock> ClaimAttempt(const ipc::AttemptSpec& spec) {
  YOKE_FAILPOINT("shim.claim.before");
  YOKE_ASSIGN_OR_RETURN(os::OfdLock lock,
                        os::OfdLock::Take(absl::StrCat(spec.attempt_dir, "/lock")));
  YOKE_ASSIGN_OR_RETURN(const std::string text, OwnStartRecord(spec));
  const std::string path = StartedPath(spec);
  const absl::StatusOr<os::UniqueFd> fd = os::Open(path, O_WRONLY | O_CREAT | O_EXCL);
  if (absl::IsAlreadyExists(fd.status())) {
    return absl::AlreadyExistsError(absl::StrCat(path, " exists: this attempt was started before"));
  }
  if (!fd.ok()) return fd.status();
  YOKE_FAILPOINT("shim.claim.created");
  const absl::Status filled = os::WriteAll(fd->get(), text, path);
  if (!filled.ok()) {
    DropClaim(spec);
    return filled;
  }
  YOKE_FAILPOINT("shim.claim.after");
  return lock;
}

absl::Status SyncClaim(const ipc::AttemptSpec& spec) {
  YOKE_FAILPOINT("shim.sync.before");
  YOKE_RETURN_IF_ERROR(SyncPath(StartedPath(spec)));
  YOKE_FAILPOINT("shim.sync.after");
  return absl::OkStatus();
}

void DropClaim(const ipc::AttemptSpec& spec) { os::RemoveFile(StartedPath(spec)).IgnoreError(); }

}  // namespace yoke::shim
