#include "common/ipc/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/clock.h"
#include "common/os/file.h"

namespace yoke::ipc {

struct alignas(64) ProgressFile::Slot {
  std::atomic<uint64_t> phase;  // its bytes
  std::atomic<int64_t> step, reports, boot_ms;
};

namespace {

constexpr size_t kSlotBytes = 64;

absl::StatusOr<void*> Map(const std::string& path, int fd, size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return os::ErrnoStatus(errno, absl::StrCat("cannot map ", path));
  return memory;
}

}  // namespace

absl::StatusOr<ProgressFile> ProgressFile::Create(const std::string& path, int ranks) {
  static_assert(sizeof(Slot) == kSlotBytes && std::atomic<int64_t>::is_always_lock_free);
  const size_t bytes = kSlotBytes * static_cast<size_t>(ranks);
  YOKE_ASSIGN_OR_RETURN(const os::UniqueFd fd, os::Open(path, O_RDWR | O_CREAT | O_TRUNC));
  if (const int error = posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes)); error != 0) {
    return os::ErrnoStatus(error, absl::StrCat("cannot make room for ", path));
  }
  YOKE_ASSIGN_OR_RETURN(void* memory, Map(path, fd.get(), bytes));
  return ProgressFile(memory, bytes, 0);
}

absl::StatusOr<ProgressFile> ProgressFile::Open(const std::string& path, int rank) {
  YOKE_ASSIGN_OR_RETURN(const os::UniqueFd fd, os::Open(path, O_RDWR));
  struct stat info;
  if (fstat(fd.get(), &info) != 0)
    return os::ErrnoStatus(errno, absl::StrCat("cannot look at ", path));
  const size_t bytes = static_cast<size_t>(info.st_size) / kSlotBytes * kSlotBytes;
  if (rank < 0 || static_cast<size_t>(rank) * kSlotBytes >= bytes) {
    return absl::OutOfRangeError(absl::StrCat(path, " has no slot for rank ", rank));
  }
  YOKE_ASSIGN_OR_RETURN(void* memory, Map(path, fd.get(), bytes));
  return ProgressFile(memory, bytes, rank);
}

ProgressFile::ProgressFile(ProgressFile&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), bytes_(other.bytes_), rank_(other.rank_) {}

ProgressFile::~ProgressFile() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

ProgressFile::Slot& ProgressFile::slot(int rank) const { return static_cast<Slot*>(memory_)[rank]; }

void ProgressFile::Phase(std::string_view phase) {
  uint64_t bytes = 0;
  std::memcpy(&bytes, phase.data(), std::min(phase.size(), sizeof(bytes)));
  Touch();
  slot(rank_).phase.store(bytes, std::memory_order_release);
}

void ProgressFile::Step() {
  slot(rank_).step.fetch_add(1, std::memory_order_relaxed);
  Touch();
}

void ProgressFile::Touch() {
  slot(rank_).boot_ms.store(os::BootMilliseconds(), std::memory_order_relaxed);
  slot(rank_).reports.fetch_add(1, std::memory_order_release);
}

Progress ProgressFile::Read(int rank) const {
  const Slot& from = slot(rank);
  const uint64_t bytes = from.phase.load(std::memory_order_acquire);
  Progress progress;
  progress.phase.assign(reinterpret_cast<const char*>(&bytes),
                        strnlen(reinterpret_cast<const char*>(&bytes), sizeof(bytes)));
  progress.reports = from.reports.load(std::memory_order_acquire);
  progress.step = from.step.load(std::memory_order_relaxed);
  progress.boot_ms = from.boot_ms.load(std::memory_order_relaxed);
  return progress;
}

}  // namespace yoke::ipc
