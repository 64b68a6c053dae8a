#include "server/shim/log_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/ipc/log_times.h"
#include "common/os/clock.h"
#include "common/os/file.h"

namespace yoke::shim {
namespace {

constexpr int64_t kIntervalMs = 1000;
// A file system gives back whole blocks.
constexpr int64_t kAlignment = 64 * 1024;

int64_t EpochMilliseconds() { return static_cast<int64_t>(os::EpochSeconds() * 1000); }

}  // namespace

LogKeeper::LogKeeper(const std::vector<std::string>& logs, int64_t bytes_max)
    : bytes_max_(bytes_max), begin_epoch_ms_(EpochMilliseconds()) {
  for (const std::string& path : logs) logs_.emplace_back().path = path;
}

void LogKeeper::Look() {
  const int64_t now = os::BootMilliseconds();
  if (now < due_ms_) return;
  due_ms_ = now + kIntervalMs;
  for (Log& log : logs_) LookAt(log);
}

void LogKeeper::LookAt(Log& log) const {
  struct stat info = {};
  if (stat(log.path.c_str(), &info) != 0) info.st_size = 0;
  if (info.st_size == log.length || (info.st_size == 0 && log.length < 0)) return;
  const std::string times = absl::StrCat(log.path, ipc::kLogTimesSuffix);
  const auto fd = os::Open(times, O_WRONLY | O_CREAT | O_APPEND);
  std::string lines;
  if (log.length < 0) lines = ipc::LogTimesLine(0, begin_epoch_ms_);
  lines += ipc::LogTimesLine(info.st_size, EpochMilliseconds());
  if (fd.ok() && os::WriteAll(fd->get(), lines, times).ok()) log.length = info.st_size;
  if (bytes_max_ > 0 && log.can_give_up && info.st_size - log.kept_from > bytes_max_) {
    GiveUp(log, (info.st_size - bytes_max_ / 4 * 3) / kAlignment * kAlignment);
  }
}

void LogKeeper::GiveUp(Log& log, int64_t to) const {
  if (to <= log.kept_from) return;
  const auto fd = os::Open(log.path, O_WRONLY);
  if (!fd.ok()) return;
  if (fallocate(fd->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, to) == 0) {
    log.kept_from = to;
  } else if (errno == EOPNOTSUPP || errno == ENOSYS) {
    log.can_give_up = false;
    std::fprintf(
        stderr,
        "yoke-shim: %s grows without limit: its file system cannot give up parts of a file (%s)\n",
        log.path.c_str(), strerror(errno));
  }
}

}  // namespace yoke::shim
