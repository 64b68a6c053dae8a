#include "server/store/backup.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"
#include "server/store/schema.h"

namespace yoke::store {
namespace {

std::string BackupFolder(const std::string& database_path) {
  return os::FolderOf(database_path) + "/backups";
}

absl::Status CopyTo(const std::string& database_path, const std::string& to) {
  try {
    SQLite::Database source(database_path, SQLite::OPEN_READONLY, /*busy timeout ms=*/5000);
    SQLite::Statement copy(source, "VACUUM INTO ?");
    copy.bind(1, to);
    copy.exec();
  } catch (const SQLite::Exception& error) {
    return ToStatus(error, absl::StrCat("cannot write the backup ", to));
  }
  // VACUUM INTO itself does not wait for the disk.
  YOKE_ASSIGN_OR_RETURN(const os::UniqueFd fd, os::Open(to, O_RDWR));
  return os::SyncFile(fd.get(), to);
}

}  // namespace

absl::Status BackUp(const std::string& database_path, const std::string& to) {
  if (os::FileExists(to))
    return absl::AlreadyExistsError(absl::StrCat(to, " exists; name a new file for the backup"));
  const std::string partial = absl::StrCat(to, ".partial.", getpid());
  if (!os::FileExists(os::FolderOf(to)))
    return absl::NotFoundError(absl::StrCat("there is no folder ", os::FolderOf(to),
                                            "; make it, or name another for the backup"));
  YOKE_RETURN_IF_ERROR(os::RemoveFile(partial));
  {
    // It tells of everybody's jobs: nobody else's to read, as the state folder. SQLite takes an
    // empty file as none.
    const os::UniqueFd empty(open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!empty.valid()) return os::ErrnoStatus(errno, absl::StrCat("cannot write the backup ", to));
  }
  absl::Status status = CopyTo(database_path, partial);
  // A link, not a rename: it never replaces what somebody else has put there meanwhile.
  if (status.ok() && link(partial.c_str(), to.c_str()) != 0)
    status = os::ErrnoStatus(errno, absl::StrCat("cannot name the backup ", to));
  os::RemoveFile(partial).IgnoreError();
  os::RemoveFile(partial + "-journal").IgnoreError();
  return status.ok() ? os::SyncFolder(os::FolderOf(to)) : status;
}

std::vector<std::string> AutomaticBackups(const std::string& database_path) {
  std::vector<std::string> backups;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(BackupFolder(database_path), error)) {
    if (absl::EndsWith(entry.path().filename().string(), ".db"))
      backups.push_back(entry.path().string());
  }
  std::sort(backups.begin(), backups.end(), std::greater<>());
  return backups;
}

absl::StatusOr<std::string> BackUpAutomatically(const std::string& database_path,
                                                int64_t epoch_seconds, int keep) {
  YOKE_RETURN_IF_ERROR(os::MakeDirs(BackupFolder(database_path), 0700));
  const std::string path = absl::StrCat(
      BackupFolder(database_path), "/yoke-",
      absl::FormatTime("%Y%m%dT%H%M%SZ", absl::FromUnixSeconds(epoch_seconds), absl::UTCTimeZone()),
      ".db");
  // What a daemon that was killed left of one.
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(BackupFolder(database_path), error)) {
    if (absl::StrContains(entry.path().filename().string(), ".partial.")) YOKE_RETURN_IF_ERROR(os::RemoveFile(entry.path().string()));
  }
  YOKE_RETURN_IF_ERROR(BackUp(database_path, path));
  const std::vector<std::string> backups = AutomaticBackups(database_path);
  for (size_t i = static_cast<size_t>(keep); i < backups.size(); ++i)
    YOKE_RETURN_IF_ERROR(os::RemoveFile(backups[i]));
  return path;
}

}  // namespace yoke::store
