#include "server/streams/log_moments.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "common/ipc/log_times.h"
#include "common/os/file.h"

namespace yoke::streams {
namespace {

constexpr size_t kTimesBytesMax = size_t{16} << 20;  // of the newest week

}  // namespace

LogMoments FindMoments(const std::string& path, std::optional<absl::Time> since,
                       std::optional<absl::Time> until) {
  LogMoments moments;
  if (!since && !until) return moments;
  const std::string times =
      os::ReadTail(absl::StrCat(path, ipc::kLogTimesSuffix), kTimesBytesMax).value_or("");
  if (since) moments.begin = ipc::LengthAt(times, absl::ToUnixMillis(*since));
  if (until && !times.empty()) {
    const int64_t end = ipc::LengthAfter(times, absl::ToUnixMillis(*until));
    if (end >= 0) moments.end = end;
  }
  struct stat info;
  if (since && stat(path.c_str(), &info) == 0 && absl::TimeFromTimespec(info.st_mtim) < *since)
    moments.begin = info.st_size;
  return moments;
}

}  // namespace yoke::streams
