#include "server/engine/checkpoint/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"

namespace yoke::engine {

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), temporary_(path_ + ".tmp") {
  fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) Fail("create");
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) {
    close(fd_);
    unlink(temporary_.c_str());
  }
}

void AtomicFile::Fail(const char* action) {
  if (status_.ok())
    status_ = absl::ErrnoToStatus(errno, absl::StrCat("cannot ", action, " ", path_));
}

void AtomicFile::Write(const void* data, size_t size) {
  const char* at = static_cast<const char*>(data);
  while (status_.ok() && size > 0) {
    const ssize_t written = write(fd_, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return Fail("write");
    at += written;
    size -= written;
  }
}

absl::Status AtomicFile::Commit() {
  if (status_.ok() && fsync(fd_) != 0) Fail("sync");
  if (!status_.ok()) return status_;
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    Fail("rename to");
    return status_;
  }
  close(std::exchange(fd_, -1));
  const size_t slash = path_.rfind('/');
  const int folder = open(slash == std::string::npos ? "." : path_.substr(0, slash + 1).c_str(),
                          O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0 || fsync(folder) != 0) Fail("sync the folder of");
  if (folder >= 0) close(folder);
  return status_;
}

}  // namespace yoke::engine
