#include "server/engine/data/image_check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/data/file_bytes.h"

namespace yoke::engine {
namespace {

constexpr int kSideMin = 10;

// Whether the file ends as whole JPEG and PNG files do. False proves nothing: many tools append bytes.
bool EndsWhole(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  std::array<char, 12> tail{};
  struct stat info;
  ssize_t count = 0;
  if (::fstat(fd, &info) == 0 && info.st_size > static_cast<off_t>(tail.size())) {
    count = ::pread(fd, tail.data(), tail.size(), info.st_size - static_cast<off_t>(tail.size()));
  }
  ::close(fd);
  if (count != static_cast<ssize_t>(tail.size())) return false;
  const std::string_view text(tail.data(), tail.size());
  return text.ends_with("\xff\xd9") || text.substr(4, 4) == "IEND";
}

}  // namespace

absl::StatusOr<ImageSize> CheckImageFile(const std::string& path) {
  YOKE_ASSIGN_OR_RETURN(const ImageSize size, ProbeImageSize(path));
  if (size.width < kSideMin || size.height < kSideMin) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", size.width, "x", size.height, " px; at least ", kSideMin, " px a side are needed"));
  }
  if (!EndsWhole(path)) YOKE_RETURN_IF_ERROR(ReadImage(path).status());
  return size;
}

}  // namespace yoke::engine
