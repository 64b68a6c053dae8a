// The functions of libc that this program's writes go through, and the log they keep.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>

#include "tests/support/crash_log/crash_log.h"

namespace yoke::crash_log {
namespace {

struct Recording {
  std::mutex mutex;
  std::string folder;
  Log log;
  std::map<uint64_t, bool> known;  // inodes of files that are kept
};
std::atomic<bool> recording = false;

// Never destroyed: files are written until the very end.
Recording& Current() {
  static Recording* const current = new Recording;
  return *current;
}

bool IsKept(const std::string& name) { return !name.ends_with("-shm") && name != "reserve"; }

uint64_t InodeOf(int fd) {
  struct stat info = {};
  return fstat(fd, &info) == 0 ? info.st_ino : 0;
}

bool IsRecorded(int fd) { return Current().known.contains(InodeOf(fd)); }

// The name inside the folder; empty for any other path.
std::string NameOf(const char* path) {
  const std::string text = path, folder = Current().folder + "/";
  if (text.compare(0, folder.size(), folder) != 0) return "";
  const std::string name = text.substr(folder.size());
  return name.find('/') == std::string::npos && IsKept(name) ? name : "";
}

bool IsFolder(int fd) {
  struct stat info = {}, folder = {};
  return fstat(fd, &info) == 0 && stat(Current().folder.c_str(), &folder) == 0 &&
         info.st_ino == folder.st_ino && S_ISDIR(info.st_mode);
}

void Add(Op op) { Current().log.ops.push_back(std::move(op)); }

template <typename Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

ssize_t WriteAt(int fd, const void* bytes, size_t size, off_t offset) {
  static auto* const real = Real<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  if (!recording) return real(fd, bytes, size, offset);
  const std::lock_guard<std::mutex> lock(Current().mutex);
  const ssize_t written = real(fd, bytes, size, offset);
  if (written > 0 && IsRecorded(fd))
    Add({Op::kWrite, InodeOf(fd), offset,
         std::string(static_cast<const char*>(bytes), static_cast<size_t>(written)), "", ""});
  return written;
}

int Truncate(int fd, off_t size) {
  static auto* const real = Real<int(int, off_t)>("ftruncate");
  if (!recording) return real(fd, size);
  const std::lock_guard<std::mutex> lock(Current().mutex);
  const int result = real(fd, size);
  if (result == 0 && IsRecorded(fd)) Add({Op::kTruncate, InodeOf(fd), size, "", "", ""});
  return result;
}

int Sync(int fd, const char* name) {
  const int result = Real<int(int)>(name)(fd);
  if (!recording || result != 0) return result;
  const std::lock_guard<std::mutex> lock(Current().mutex);
  if (IsFolder(fd)) Add({Op::kSyncFolder, 0, 0, "", "", ""});
  if (IsRecorded(fd)) Add({Op::kSync, InodeOf(fd), 0, "", "", ""});
  return result;
}

int OpenFile(const char* path, int flags, mode_t mode) {
  static auto* const real = Real<int(const char*, int, ...)>("open");
  if (!recording || (flags & O_CREAT) == 0) return real(path, flags, mode);
  const std::lock_guard<std::mutex> lock(Current().mutex);
  struct stat before = {};
  const bool there = stat(path, &before) == 0;
  const int fd = real(path, flags, mode);
  const std::string name = NameOf(path);
  if (fd < 0 || there || name.empty()) return fd;
  Current().known[InodeOf(fd)] = true;
  Add({Op::kCreate, InodeOf(fd), 0, "", name, ""});
  return fd;
}

}  // namespace

void Record(const std::string& folder) {
  Recording& current = Current();
  const std::lock_guard<std::mutex> lock(current.mutex);
  current.folder = folder;
  current.log = {};
  current.known.clear();
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    struct stat info = {};
    if (!entry.is_regular_file() || !IsKept(name) || stat(entry.path().c_str(), &info) != 0)
      continue;
    std::ifstream file(entry.path(), std::ios::binary);
    current.known[info.st_ino] = true;
    current.log.names[name] = info.st_ino;
    current.log.contents[info.st_ino] = std::string(std::istreambuf_iterator<char>(file), {});
  }
  recording = true;
}

size_t Position() {
  const std::lock_guard<std::mutex> lock(Current().mutex);
  return Current().log.ops.size();
}

Log Stop() {
  const std::lock_guard<std::mutex> lock(Current().mutex);
  recording = false;
  return std::move(Current().log);
}

}  // namespace yoke::crash_log

using yoke::crash_log::Op;
namespace crash_log = yoke::crash_log;

extern "C" {

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  return crash_log::WriteAt(fd, bytes, size, offset);
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  return crash_log::WriteAt(fd, bytes, size, offset);
}

// Only files that are appended to are written so.
ssize_t write(int fd, const void* bytes, size_t size) {
  static auto* const real = crash_log::Real<ssize_t(int, const void*, size_t)>("write");
  if (!crash_log::recording) return real(fd, bytes, size);
  const std::lock_guard<std::mutex> lock(crash_log::Current().mutex);
  const off_t end = crash_log::IsRecorded(fd) ? lseek(fd, 0, SEEK_END) : 0;
  const ssize_t written = real(fd, bytes, size);
  if (written > 0 && crash_log::IsRecorded(fd)) {
    crash_log::Add({Op::kWrite, crash_log::InodeOf(fd), end,
                    std::string(static_cast<const char*>(bytes), static_cast<size_t>(written)), "",
                    ""});
  }
  return written;
}

int ftruncate(int fd, off_t size) noexcept { return crash_log::Truncate(fd, size); }
int ftruncate64(int fd, off64_t size) noexcept { return crash_log::Truncate(fd, size); }
int fsync(int fd) { return crash_log::Sync(fd, "fsync"); }
int fdatasync(int fd) { return crash_log::Sync(fd, "fdatasync"); }

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
  va_end(arguments);
  return crash_log::OpenFile(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
  va_end(arguments);
  return crash_log::OpenFile(path, flags | O_LARGEFILE, mode);
}

int rename(const char* from, const char* to) noexcept {
  static auto* const real = crash_log::Real<int(const char*, const char*)>("rename");
  if (!crash_log::recording) return real(from, to);
  const std::lock_guard<std::mutex> lock(crash_log::Current().mutex);
  const int result = real(from, to);
  if (result == 0 && !crash_log::NameOf(from).empty())
    crash_log::Add({Op::kRename, 0, 0, "", crash_log::NameOf(from), crash_log::NameOf(to)});
  return result;
}

int unlink(const char* path) noexcept {
  static auto* const real = crash_log::Real<int(const char*)>("unlink");
  if (!crash_log::recording) return real(path);
  const std::lock_guard<std::mutex> lock(crash_log::Current().mutex);
  const int result = real(path);
  if (result == 0 && !crash_log::NameOf(path).empty())
    crash_log::Add({Op::kUnlink, 0, 0, "", crash_log::NameOf(path), ""});
  return result;
}

}  // extern "C"
