#include "server/store/rebuild.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <stdio.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"
#include "server/store/backup.h"
#include "server/store/reconcile.h"
#include "server/store/rows.h"
#include "server/store/schema.h"

namespace yoke::store {
namespace {

namespace fs = std::filesystem;
using jobs::JobRecord;

void RemoveDatabase(const std::string& path) {
  std::error_code ignored;
  for (const char* end : {"", "-wal", "-shm"}) fs::remove(path + end, ignored);
}

// From one end of the table until the damage.
void ReadUntilDamage(SQLite::Database& database, bool from_end,
                     std::map<std::string, JobRecord>& found) {
  try {
    database.exec(absl::StrCat("PRAGMA reverse_unordered_selects = ", from_end ? 1 : 0));
    SQLite::Statement query(database, absl::StrCat("SELECT ", kJobColumns, " FROM job NOT INDEXED"));
    while (query.executeStep()) {
      absl::StatusOr<JobRecord> job = JobFromRow(query);
      if (job.ok() && job->public_job.name() == absl::StrCat("jobs/", job->id))
        found.emplace(job->id, *std::move(job));
    }
  } catch (const SQLite::Exception&) {
    // What lies behind is read from the other end, or is lost to this source.
  }
}

int64_t ChangeOf(const JobRecord& job) {
  int64_t number = 0;
  return absl::SimpleAtoi(job.public_job.etag(), &number) ? number : 0;
}

absl::StatusOr<std::string> MoveAside(const std::string& path) {
  std::string to = absl::StrCat(
      path, ".damaged-", absl::FormatTime("%Y%m%dT%H%M%SZ", absl::Now(), absl::UTCTimeZone()));
  for (int n = 2; os::FileExists(to); ++n)
    to = absl::StrCat(to.substr(0, path.size() + 25), "-", n);
  for (const char* end : {"-wal", ""}) {
    if (os::FileExists(path + end) && rename((path + end).c_str(), (to + end).c_str()) != 0) {
      return os::ErrnoStatus(errno, absl::StrCat("cannot move ", path, end, " aside"));
    }
  }
  YOKE_RETURN_IF_ERROR(os::RemoveFile(path + "-shm"));
  YOKE_RETURN_IF_ERROR(os::SyncFolder(os::FolderOf(path)));
  return to;
}

// A file of its own, closed and durable.
absl::Status MakeDatabase(const std::string& path, const std::vector<JobRecord>& jobs) {
  RemoveDatabase(path);
  {
    YOKE_ASSIGN_OR_RETURN(const std::unique_ptr<SQLite::Database> database,
                          OpenDatabase(path, false));
    YOKE_RETURN_IF_ERROR(Reconcile(*database, jobs).status());
  }
  YOKE_ASSIGN_OR_RETURN(const os::UniqueFd fd, os::Open(path, O_RDWR));
  return os::SyncFile(fd.get(), path);
}

}  // namespace

std::vector<JobRecord> ReadableJobs(const std::string& path) {
  const std::string copy = path + ".reading";
  RemoveDatabase(copy);
  std::map<std::string, JobRecord> found;
  std::error_code error;
  fs::copy_file(path, copy, error);
  if (!error && fs::exists(path + "-wal", error))
    fs::copy_file(path + "-wal", copy + "-wal", error);
  try {
    SQLite::Database database(copy, SQLite::OPEN_READWRITE);
    UpgradeForReading(database);
    ReadUntilDamage(database, /*from_end=*/false, found);
    ReadUntilDamage(database, /*from_end=*/true, found);
  } catch (const SQLite::Exception&) {
    // Nothing can be read from it.
  }
  RemoveDatabase(copy);
  std::vector<JobRecord> jobs;
  for (auto& [id, job] : found) jobs.push_back(std::move(job));
  std::sort(jobs.begin(), jobs.end(),
            [](const JobRecord& a, const JobRecord& b) { return a.sequence < b.sequence; });
  return jobs;
}

std::vector<JobRecord> NewestOfEach(const std::vector<std::vector<JobRecord>>& sources) {
  std::vector<JobRecord> newest;
  std::map<std::string, size_t> place;
  for (const std::vector<JobRecord>& source : sources) {
    for (const JobRecord& job : source) {
      const auto [known, fresh] = place.emplace(job.id, newest.size());
      if (fresh) {
        newest.push_back(job);
      } else if (ChangeOf(job) > ChangeOf(newest[known->second])) {
        newest[known->second] = job;
      }
    }
  }
  return newest;
}

absl::StatusOr<std::string> RebuildDatabase(const std::string& path, const absl::Status& damage,
                                            const RebuildSources& sources) {
  std::vector<std::vector<JobRecord>> found;
  if (os::FileExists(path)) found.push_back(ReadableJobs(path));
  if (found.empty()) {
    // A crash between moving the old file and naming the new one.
    const std::vector<std::string> aside = DamagedCopies(path);
    found.push_back(aside.empty() ? std::vector<JobRecord>() : ReadableJobs(aside[0]));
  }
  const size_t rows = found[0].size();
  found.emplace_back();
  for (const std::string& backup : AutomaticBackups(path)) {
    found.back() = ReadableJobs(backup);
    if (!found.back().empty()) break;
  }
  const size_t copied = found.back().size();
  found.push_back(sources.journalled);
  const std::vector<JobRecord> jobs = NewestOfEach(found);
  if (jobs.empty() && !sources.journal_intact && !sources.jobs_elsewhere) return damage;

  const std::string fresh = path + ".new";
  YOKE_RETURN_IF_ERROR(MakeDatabase(fresh, jobs));
  YOKE_ASSIGN_OR_RETURN(const std::string aside, MoveAside(path));
  if (rename(fresh.c_str(), path.c_str()) != 0)
    return os::ErrnoStatus(errno, absl::StrCat("cannot rename ", fresh, " to ", path));
  YOKE_RETURN_IF_ERROR(os::SyncFolder(os::FolderOf(path)));
  return absl::StrCat("the database was damaged or gone and was made anew with ", jobs.size(),
                      " job(s): ", rows, " readable in the old file, ", copied,
                      " in the newest backup, ", sources.journalled.size(),
                      " in the submission journal. The old file is ",
                      os::FileExists(aside) ? aside : "not there any more",
                      "; delete it when you do not need it any longer");
}

std::vector<std::string> DamagedCopies(const std::string& path) {
  std::vector<std::string> copies;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(os::FolderOf(path), error)) {
    const std::string name = entry.path().string();
    if (absl::StartsWith(name, path + ".damaged-") && !absl::EndsWith(name, "-wal") &&
        !absl::EndsWith(name, "-shm"))
      copies.push_back(name);
  }
  std::sort(copies.begin(), copies.end(), std::greater<>());
  return copies;
}

}  // namespace yoke::store
