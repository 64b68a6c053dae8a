// Files that several processes use: who uses one holds a shared lock (flock) on it.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace yoke {

// True if nobody else uses the open file; nobody else can then, until the lock is changed or the
// file closed.
inline bool IsOnlyUser(int fd) { return ::flock(fd, LOCK_EX | LOCK_NB) == 0; }

// Whether the open file is the one that has this path now.
inline bool IsFileAt(const std::string& path, int fd) {
  struct stat here = {}, there = {};
  return ::fstat(fd, &here) == 0 && ::stat(path.c_str(), &there) == 0 &&
         here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

// Removes a file if nobody uses it; whether it did.
inline bool RemoveUnused(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  const bool removed = IsOnlyUser(fd) && IsFileAt(path, fd) && ::unlink(path.c_str()) == 0;
  ::close(fd);
  return removed;
}

// Where processes of one user keep files that they share in memory.
inline std::string SharedMemoryFolder() { return "/dev/shm/yoke-" + std::to_string(::geteuid()); }

// Removes what killed processes left there.
inline void SweepSharedMemory() {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(SharedMemoryFolder(), none))
    RemoveUnused(entry.path());
}

}  // namespace yoke
