// Where each rank is, in memory that its supervisor reads: attempt folder/progress, one slot of 64
// bytes a rank. A rank writes its slot at every step and the shim looks at all of them once a
// second, so neither locks nor calls the kernel.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace yoke::ipc {

inline constexpr char kProgressName[] = "progress";

struct Progress {
  std::string
      phase;  // as the engine names it: "train", "val" …; at most 8 bytes; empty: nothing said yet
  int64_t step = 0;     // iterations begun in this attempt
  int64_t reports = 0;  // signs of life so far
  int64_t boot_ms = 0;  // of the latest, on os::BootMilliseconds
};

// The mapped file, by either side. Movable, not copyable.
class ProgressFile {
 public:
  // With `ranks` empty slots; its space is reserved, so that a full disk cannot end a rank that
  // writes.
  static absl::StatusOr<ProgressFile> Create(const std::string& path, int ranks);
  // NotFound: this attempt's supervisor made none. OutOfRange: it has no slot for `rank`.
  static absl::StatusOr<ProgressFile> Open(const std::string& path, int rank);
  ProgressFile(ProgressFile&& other) noexcept;
  ProgressFile& operator=(ProgressFile&&) = delete;
  ~ProgressFile();

  // Of the opened rank, one thread: a phase begins, an iteration begins, something was done.
  void Phase(std::string_view phase);
  void Step();
  void Touch();

  // A slot as another process writes it. A phase is never paired with a report that is older than
  // it.
  Progress Read(int rank) const;

 private:
  struct Slot;
  ProgressFile(void* memory, size_t bytes, int rank)
      : memory_(memory), bytes_(bytes), rank_(rank) {}
  Slot& slot(int rank) const;

  void* memory_;
  size_t bytes_;
  int rank_;
};

}  // namespace yoke::ipc
