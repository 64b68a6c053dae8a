// A database that is damaged or gone is made anew from all that still tells of jobs: its own
// readable rows, the copies in backups/, the journal.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/jobs/job_store.h"

namespace yoke::store {

// Jobs of a database file that may be damaged, as far as they can be read and pass their checks.
// The file and its log are left as they are.
std::vector<jobs::JobRecord> ReadableJobs(const std::string& path);

// Of several records of one job the one with the last change; by their first appearance.
std::vector<jobs::JobRecord> NewestOfEach(const std::vector<std::vector<jobs::JobRecord>>& sources);

struct RebuildSources {
  std::vector<jobs::JobRecord> journalled;
  bool journal_intact = false;  // it was there, and all of it could be read
  bool jobs_elsewhere = false;  // who calls can give jobs back afterwards
};

// Moves the damaged file (and its log) to PATH.damaged-TIME and puts a new one in its place; a
// crash in between is mended by calling it again. Returns what was done, in a sentence. `damage`
// itself if nothing tells of jobs: the queue is never made empty.
absl::StatusOr<std::string> RebuildDatabase(const std::string& path, const absl::Status& damage,
                                            const RebuildSources& sources);

// Files that RebuildDatabase has put aside, newest first.
std::vector<std::string> DamagedCopies(const std::string& path);

}  // namespace yoke::store
