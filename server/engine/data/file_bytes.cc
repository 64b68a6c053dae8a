#include "server/engine/data/file_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace yoke::engine {
namespace {

constexpr int64_t kFileBytesMax = int64_t{4} << 30;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { Close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int Close() {
    const int result = fd_ >= 0 ? ::close(fd_) : 0;
    fd_ = -1;
    return result;
  }

 private:
  int fd_;
};

absl::Status WriteAll(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(path, "write", errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FileError(const std::string& path, const char* what, int error) {
  const std::string message = absl::StrCat(path, ": cannot ", what, ": ", std::strerror(error));
  switch (error) {
    case ENOENT: case ENOTDIR: return absl::NotFoundError(message);
    case EACCES: case EPERM: case EROFS: return absl::PermissionDeniedError(message);
    case ENOSPC: case EDQUOT: return absl::ResourceExhaustedError(message);
    case EEXIST: return absl::AlreadyExistsError(message);
    default: return absl::UnavailableError(message);
  }
}

absl::StatusOr<std::vector<uint8_t>> ReadFileBytes(const std::string& path, size_t limit) {
  // O_NONBLOCK: opening a FIFO must not hang.
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
    return FileError(path, "open", errno);
  }
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return FileError(path, "read", errno);
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, ": not a regular file"));
  if (info.st_size > kFileBytesMax) return absl::InvalidArgumentError(absl::StrCat(path, ": larger than 4 GiB"));
  std::vector<uint8_t> bytes(std::min<size_t>(static_cast<size_t>(info.st_size), limit));
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::read(fd.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(path, "read", errno);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes) {
  YOKE_ASSIGN_OR_RETURN(std::vector<uint8_t> bytes, ReadFileBytes(path, max_bytes + 1));
  if (bytes.size() > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": larger than ", max_bytes, " bytes"));
  }
  return std::string(bytes.begin(), bytes.end());
}

absl::Status WriteFile(const std::string& target, int creation, std::string_view bytes, const std::string& path) {
  Descriptor fd(::open(target.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | creation, 0644));
  if (fd.get() < 0) return FileError(path, "create", errno);
  YOKE_RETURN_IF_ERROR(WriteAll(fd.get(), path, bytes));
  return fd.Close() == 0 ? absl::OkStatus() : FileError(path, "write", errno);
}

absl::Status ReplaceFile(const std::string& path, std::string_view bytes) {
  const std::string temporary = absl::StrCat(path, ".tmp-", ::getpid());
  Descriptor fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (fd.get() < 0) return FileError(temporary, "create", errno);
  absl::Status status = WriteAll(fd.get(), path, bytes);
  if (status.ok() && ::fdatasync(fd.get()) != 0) status = FileError(path, "write", errno);
  if (status.ok() && fd.Close() != 0) status = FileError(path, "write", errno);
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) status = FileError(path, "replace", errno);
  if (!status.ok()) ::unlink(temporary.c_str());
  return status;
}

}  // namespace yoke::engine
