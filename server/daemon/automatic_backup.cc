#include "server/daemon/automatic_backup.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "server/store/backup.h"
#include "spdlog/spdlog.h"

namespace yoke::daemon {

AutomaticBackup::AutomaticBackup(jobs::JobStore& store, std::string database_path,
                                 absl::Duration every)
    : store_(store), database_path_(std::move(database_path)), every_(every) {
  if (every_ <= absl::ZeroDuration()) return;
  repeater_ = std::make_unique<Repeater>(UntilDue(), every_, [this] { CopyIfChanged(); });
}

absl::Duration AutomaticBackup::UntilDue() const {
  const std::vector<std::string> copies = store::AutomaticBackups(database_path_);
  struct stat info = {};
  if (copies.empty() || stat(copies[0].c_str(), &info) != 0) return absl::ZeroDuration();
  // A clock that was set back makes copies look young; it must not make them rare.
  return std::clamp(absl::FromTimeT(info.st_mtime) + every_ - absl::Now(), absl::ZeroDuration(),
                    every_);
}

void AutomaticBackup::CopyIfChanged() {
  const int64_t sequence = store_.last_event_sequence();
  if (sequence == 0 || sequence == copied_sequence_) return;
  const absl::StatusOr<std::string> copy =
      store::BackUpAutomatically(database_path_, absl::ToUnixSeconds(absl::Now()));
  if (copy.ok()) {
    copied_sequence_ = sequence;
    spdlog::info("backup: {}", *copy);
  } else {
    spdlog::error("no backup could be made: {}", copy.status().ToString());
  }
}

}  // namespace yoke::daemon
