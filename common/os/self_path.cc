#include "common/os/self_path.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "common/base/status_macros.h"
#include "common/os/file.h"

namespace yoke::os {

absl::StatusOr<std::string> SelfPath() {
  char buffer[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", buffer, sizeof(buffer));
  if (length < 0) return ErrnoStatus(errno, "cannot read /proc/self/exe");
  return std::string(buffer, static_cast<size_t>(length));
}

absl::StatusOr<std::string> SelfFolder() {
  YOKE_ASSIGN_OR_RETURN(const std::string path, SelfPath());
  return FolderOf(path);
}

}  // namespace yoke::os
