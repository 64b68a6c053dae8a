// JobStore in one SQLite file (WAL) and a journal beside it: what is acknowledged is in both.
//   auto store = OpenJobStore({.path = state_dir + "/yoke.db"});
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"
#include "server/store/journal.h"
#include "server/store/reserve.h"

namespace yoke::store {

struct StoreOptions {
  std::string path;
  // The state folder shows that there was a database: a missing or empty one is then damage, never a new one.
  bool must_exist = false;
  // Attempts' own records can give jobs back to a database that was made anew.
  bool jobs_elsewhere = false;
  // How many changes are kept for watchers; older ones are OutOfRange.
  int64_t events_kept = 100'000;
  // A journal up to this size is not rewritten.
  int64_t journal_rewrite_bytes = kJournalRewriteBytes;
  // SQLite's log is folded into the database once it has so many pages, those of several batches of
  // 1,000 jobs.
  int log_pages = 4000;
  int64_t reserve_bytes = kReserveBytes;
};

// "submissions.journal", beside the database.
std::string JournalPath(const std::string& database_path);

// Opens both files and brings the database up to the journal. A damaged or missing database is moved aside and made anew
// from what still tells of jobs (rebuild.h). `notes`, if given, hears in sentences what was found amiss and mended.
// FailedPrecondition: written by a newer yoked. DataLoss: damaged, and nothing tells of its jobs. Neither touches the file.
absl::StatusOr<std::unique_ptr<jobs::JobStore>> OpenJobStore(const StoreOptions& options, std::vector<std::string>* notes = nullptr);

}  // namespace yoke::store
