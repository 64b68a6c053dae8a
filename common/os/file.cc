#include "common/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/os/failpoint.h"

namespace yoke::os {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::StatusCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
      return absl::StatusCode::kInvalidArgument;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EAGAIN:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

// Reads from the fd's place until the end or until more than `limit` bytes have come.
absl::StatusOr<std::string> ReadRest(int fd, size_t limit, const std::string& path) {
  std::string bytes;
  char buffer[16384];
  for (;;) {
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, absl::StrCat("cannot read ", path));
    if (got == 0) return bytes;
    bytes.append(buffer, static_cast<size_t>(got));
    if (bytes.size() > limit) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path, " is longer than the limit of ", limit, " bytes"));
    }
  }
}

// Unique among the threads and processes that may write beside us.
std::string TempName(const std::string& path) {
  static std::atomic<uint64_t> counter{0};
  return absl::StrCat(path, ".tmp.", getpid(), ".", counter.fetch_add(1));
}

absl::Status WriteNewFile(const std::string& path, std::string_view bytes, mode_t mode, Sync sync) {
  YOKE_ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_WRONLY | O_CREAT | O_EXCL, mode));
  YOKE_RETURN_IF_ERROR(WriteAll(fd.get(), bytes, path));
  return sync == Sync::kNow ? SyncFile(fd.get(), path) : absl::OkStatus();
}

absl::Status Rename(const std::string& from, const std::string& to) {
  int error = YOKE_FAILPOINT_ERROR("file.rename.before");
  if (error == 0 && rename(from.c_str(), to.c_str()) != 0) error = errno;
  if (error != 0) return ErrnoStatus(error, absl::StrCat("cannot rename ", from, " to ", to));
  YOKE_FAILPOINT("file.rename.after");
  return absl::OkStatus();
}

}  // namespace

absl::Status ErrnoStatus(int error, std::string_view what) {
  char buffer[128];
  return absl::Status(CodeOf(error),
                      absl::StrCat(ToAbsl(what), ": ", strerror_r(error, buffer, sizeof(buffer))));
}

absl::StatusOr<UniqueFd> Open(const std::string& path, int flags, mode_t mode) {
  for (;;) {
    if (const int error = YOKE_FAILPOINT_ERROR("file.open"))
      return ErrnoStatus(error, absl::StrCat("cannot open ", path));
    const int fd = open(path.c_str(), flags | O_CLOEXEC, mode);
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EINTR) return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit) {
  YOKE_ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_RDONLY));
  return ReadRest(fd.get(), limit, path);
}

absl::StatusOr<std::string> ReadTail(const std::string& path, size_t limit) {
  YOKE_ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_RDONLY));
  std::string bytes(limit, '\0');
  const off_t size = lseek(fd.get(), 0, SEEK_END);
  if (size < 0) return ErrnoStatus(errno, absl::StrCat("cannot seek in ", path));
  const off_t start = size > static_cast<off_t>(limit) ? size - static_cast<off_t>(limit) : 0;
  size_t length = 0;
  while (length < limit) {
    const ssize_t got = pread(fd.get(), bytes.data() + length, limit - length,
                              start + static_cast<off_t>(length));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, absl::StrCat("cannot read ", path));
    if (got == 0) break;
    length += static_cast<size_t>(got);
  }
  bytes.resize(length);
  return bytes;
}

absl::Status WriteAll(int fd, std::string_view bytes, std::string_view path) {
  while (!bytes.empty()) {
    if (const int error = YOKE_FAILPOINT_ERROR("file.write"))
      return ErrnoStatus(error, absl::StrCat("cannot write ", ToAbsl(path)));
    const ssize_t put =
        write(fd, bytes.data(), YOKE_FAILPOINT_LENGTH("file.write.length", bytes.size()));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoStatus(errno, absl::StrCat("cannot write ", ToAbsl(path)));
    bytes.remove_prefix(static_cast<size_t>(put));
  }
  return absl::OkStatus();
}

absl::Status AtomicWriteFile(const std::string& path, std::string_view bytes, mode_t mode,
                             Sync sync) {
  const std::string temp = TempName(path);
  absl::Status status = WriteNewFile(temp, bytes, mode, sync);
  if (status.ok()) status = Rename(temp, path);
  if (!status.ok()) {
    unlink(temp.c_str());
    return status;
  }
  return sync == Sync::kNow ? SyncFolder(FolderOf(path)) : absl::OkStatus();
}

void RemoveUnfinished(const std::string& folder) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const size_t mark = name.rfind(".tmp");
    if (mark == std::string::npos) continue;
    if (name.find_first_not_of("0123456789.", mark + 4) == std::string::npos)
      unlink(entry->path().c_str());
  }
}

absl::Status MakeDirs(const std::string& path, mode_t mode, Sync sync) {
  struct stat info;
  if (stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return absl::OkStatus();
    return absl::AlreadyExistsError(absl::StrCat(path, " exists and is not a folder"));
  }
  if (errno != ENOENT) return ErrnoStatus(errno, absl::StrCat("cannot look at ", path));
  const std::string parent = FolderOf(path);
  YOKE_RETURN_IF_ERROR(MakeDirs(parent, mode, sync));
  YOKE_FAILPOINT("file.mkdir.before");
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, absl::StrCat("cannot make folder ", path));
  }
  YOKE_FAILPOINT("file.mkdir.after");
  return sync == Sync::kNow ? SyncFolder(parent) : absl::OkStatus();
}

absl::Status SyncFile(int fd, std::string_view path) {
  int error = YOKE_FAILPOINT_ERROR("file.sync.before");
  if (error == 0 && fsync(fd) != 0) error = errno;
  if (error != 0) return ErrnoStatus(error, absl::StrCat("cannot sync ", ToAbsl(path)));
  YOKE_FAILPOINT("file.sync.after");
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& path) {
  YOKE_ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_RDONLY | O_DIRECTORY));
  return SyncFile(fd.get(), path);
}

bool FileExists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

absl::Status RemoveFile(const std::string& path) {
  YOKE_FAILPOINT("file.unlink.before");
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("cannot remove ", path));
  }
  return absl::OkStatus();
}

std::string FolderOf(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return path.empty() ? "." : "/";
  const size_t slash = path.rfind('/', end);
  if (slash == std::string::npos) return ".";
  const size_t last = path.find_last_not_of('/', slash);
  return last == std::string::npos ? "/" : path.substr(0, last + 1);
}

}  // namespace yoke::os
