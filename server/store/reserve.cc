#include "server/store/reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/os/clock.h"
#include "common/os/file.h"

namespace yoke::store {
namespace {

constexpr int64_t kTryEveryMs = 1000;
// Beside the reserve itself: what the first new job needs.
constexpr int64_t kSpareBytes = int64_t{256} << 10;

struct Disk {
  int64_t total = 0;
  int64_t free = 0;
};

Disk DiskOf(const std::string& path) {
  struct statvfs info = {};
  if (statvfs(os::FolderOf(path).c_str(), &info) != 0) return {};
  const int64_t block = static_cast<int64_t>(info.f_frsize);
  return {static_cast<int64_t>(info.f_blocks) * block, static_cast<int64_t>(info.f_bavail) * block};
}

}  // namespace

Reserve::Reserve(std::string path, int64_t bytes)
    : path_(std::move(path)), bytes_(std::min(bytes, DiskOf(path_).total / 20)) {
  MutexLock lock(mutex_);
  held_ = Fill();
}

absl::Status Reserve::Check() {
  if (held_) return absl::OkStatus();
  MutexLock lock(mutex_);
  const int64_t now = os::BootMilliseconds();
  if (!held_ && now >= next_try_ms_) {
    next_try_ms_ = now + kTryEveryMs;
    held_ = Fill();
  }
  if (held_) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the disk of ", os::FolderOf(path_),
                   " is full: nothing new is accepted or started until there is space again. Free "
                   "some; jobs that run can still end"));
}

bool Reserve::Release() {
  MutexLock lock(mutex_);
  if (!held_) return false;
  held_ = false;
  next_try_ms_ = os::BootMilliseconds() + kTryEveryMs;
  return os::RemoveFile(path_).ok();
}

bool Reserve::Fill() {
  if (bytes_ == 0) return true;
  struct stat info = {};
  const bool there = stat(path_.c_str(), &info) == 0;
  if (there && int64_t{info.st_blocks} * 512 >= bytes_) return true;
  if (DiskOf(path_).free < bytes_ + kSpareBytes) return false;
  const absl::StatusOr<os::UniqueFd> fd = os::Open(path_, O_WRONLY | O_CREAT, 0600);
  if (!fd.ok()) return false;
  const int error = posix_fallocate(fd->get(), 0, bytes_);
  if (error == 0) return true;
  os::RemoveFile(path_).IgnoreError();
  return false;
}

}  // namespace yoke::store
