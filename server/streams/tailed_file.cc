#include "server/streams/tailed_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"

namespace yoke::streams {
namespace {

constexpr int64_t kBlockBytes = 64 * 1024;
constexpr int64_t kTailBytesMax = int64_t{256} << 20;

}  // namespace

absl::Status TailedFile::OpenIfThere() {
  if (fd_.valid()) return absl::OkStatus();
  auto opened = os::Open(path_, O_RDONLY);
  if (opened.ok()) {
    fd_ = *std::move(opened);
    return absl::OkStatus();
  }
  return absl::IsNotFound(opened.status()) ? absl::OkStatus() : opened.status();
}

absl::StatusOr<std::string> TailedFile::Read(int64_t offset, size_t limit) {
  YOKE_RETURN_IF_ERROR(OpenIfThere());
  std::string bytes;
  if (!fd_.valid()) return bytes;
  bytes.resize(limit);
  ssize_t count = 0;
  do {
    count = pread(fd_.get(), bytes.data(), limit, offset);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return os::ErrnoStatus(errno, absl::StrCat("cannot read ", path_));
  bytes.resize(static_cast<size_t>(count));
  return bytes;
}

absl::StatusOr<Piece> TailedFile::ReadPiece(int64_t offset, size_t limit) {
  Piece piece;
  piece.gap_to = offset;
  if (limit == 0) return piece;
  YOKE_ASSIGN_OR_RETURN(const int64_t size, Size());
  if (size <= offset) {
    piece.gap_to = size;
    return piece;
  }
  YOKE_ASSIGN_OR_RETURN(piece.bytes, Read(offset, std::min(limit, static_cast<size_t>(size - offset))));
  if (piece.bytes.empty()) return piece;  // cut off meanwhile
  if (piece.bytes.find('\0') == std::string::npos) return piece;
  const off_t data = lseek(fd_.get(), offset, SEEK_DATA);
  if (data < 0 && errno == ENXIO) {
    YOKE_ASSIGN_OR_RETURN(piece.gap_to, Size());
  } else if (data > offset) {
    piece.gap_to = data;
  }
  if (piece.gap_to != offset) {
    piece.bytes.clear();
    return piece;
  }
  const off_t hole = lseek(fd_.get(), offset, SEEK_HOLE);
  if (hole > offset && static_cast<size_t>(hole - offset) < piece.bytes.size()) piece.bytes.resize(static_cast<size_t>(hole - offset));
  return piece;
}

absl::StatusOr<int64_t> TailedFile::Size() {
  YOKE_RETURN_IF_ERROR(OpenIfThere());
  if (!fd_.valid()) return 0;
  struct stat info;
  if (fstat(fd_.get(), &info) != 0) return os::ErrnoStatus(errno, absl::StrCat("cannot stat ", path_));
  return info.st_size;
}

absl::StatusOr<int64_t> TailedFile::TailOffset(int64_t lines) {
  YOKE_ASSIGN_OR_RETURN(const int64_t size, Size());
  if (lines <= 0) return size;
  const int64_t first = std::max<int64_t>(0, size - kTailBytesMax);
  int64_t found = 0;
  for (int64_t end = size; end > first;) {
    const int64_t begin = std::max(first, end - kBlockBytes);
    YOKE_ASSIGN_OR_RETURN(const std::string block, Read(begin, static_cast<size_t>(end - begin)));
    for (size_t i = block.size(); i-- > 0;) {
      // The newline that ends the file ends its last line; it does not begin another.
      const int64_t at = begin + static_cast<int64_t>(i);
      if (block[i] == '\n' && at + 1 < size && ++found == lines) return at + 1;
    }
    end = begin;
  }
  return first;
}

}  // namespace yoke::streams
