// A file that another process appends to. It need not be there yet.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/os/unique_fd.h"

namespace yoke::streams {

// What is at an offset: bytes, or none of them any more.
struct Piece {
  std::string bytes;
  int64_t gap_to = 0;  // where reading goes on: the offset itself, unless bytes are gone
};

class TailedFile {
 public:
  explicit TailedFile(std::string path) : path_(std::move(path)) {}

  // At most `limit` bytes from `offset` on; empty at the end, or while there is no such file.
  absl::StatusOr<std::string> Read(int64_t offset, size_t limit);
  // The same, but what was cut off the file, or given up in it (a hole), is no bytes.
  absl::StatusOr<Piece> ReadPiece(int64_t offset, size_t limit);
  // 0 while there is no such file.
  absl::StatusOr<int64_t> Size();
  // Where the last `lines` lines begin, at most 256 MiB before the end. A last line without newline counts.
  absl::StatusOr<int64_t> TailOffset(int64_t lines);

 private:
  // Invalid while there is no such file.
  absl::Status OpenIfThere();

  std::string path_;
  os::UniqueFd fd_;
};

}  // namespace yoke::streams
