#include "common/os/ofd_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"

namespace yoke::os {
namespace {

struct flock WholeFile(short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

absl::StatusOr<OfdLock> OfdLock::Take(const std::string& path) {
  YOKE_ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_RDWR | O_CREAT));
  struct flock lock = WholeFile(F_WRLCK);
  YOKE_FAILPOINT("lock.take.before");
  if (fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno == EAGAIN || errno == EACCES) {
      return absl::FailedPreconditionError(absl::StrCat(path, " is locked by another process"));
    }
    return ErrnoStatus(errno, absl::StrCat("cannot lock ", path));
  }
  YOKE_FAILPOINT("lock.take.after");
  return OfdLock(std::move(fd));
}

absl::StatusOr<bool> OfdLock::IsHeld(const std::string& path) {
  absl::StatusOr<UniqueFd> fd = Open(path, O_RDONLY);
  if (absl::IsNotFound(fd.status())) return false;
  if (!fd.ok()) return fd.status();
  struct flock lock = WholeFile(F_WRLCK);
  if (fcntl(fd->get(), F_OFD_GETLK, &lock) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot ask for the lock of ", path));
  }
  return lock.l_type != F_UNLCK;
}

}  // namespace yoke::os
