// Brings the database up to the journal: whatever a crash, a lost log or a restored copy took from
// it.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <vector>

#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"

namespace yoke::store {

struct Reconciled {
  int created = 0;   // jobs that the database did not have
  int advanced = 0;  // jobs that the database had as they were earlier
};

// In one transaction. A job whose owner and request id the database knows under another id is left
// out. Leases follow the jobs' newest attempts. Doing it again changes nothing.
absl::StatusOr<Reconciled> Reconcile(SQLite::Database& database,
                                     const std::vector<jobs::JobRecord>& journalled);

// Whether a change is one that the journal keeps: all but what follows from files (progress, words
// for people).
bool IsJournalled(const jobs::JobRecord& before, const jobs::JobRecord& after);
// Whether it is one at all.
bool IsChanged(const jobs::JobRecord& before, const jobs::JobRecord& after);

}  // namespace yoke::store
