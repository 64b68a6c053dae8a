// JobStore in one SQLite file (WAL, synchronous=FULL).
//   auto store = OpenJobStore({.path = state_dir + "/yoke.db"});
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"

namespace yoke::store {

struct StoreOptions {
  std::string path;
  // The state folder shows that there was a database: a missing or empty one is then DataLoss, never a new one.
  bool must_exist = false;
  // How many changes are kept for watchers; older ones are OutOfRange.
  int64_t events_kept = 100'000;
};

// FailedPrecondition: written by a newer yoked. DataLoss: damaged. Neither touches the file.
absl::StatusOr<std::unique_ptr<jobs::JobStore>> OpenJobStore(const StoreOptions& options);

}  // namespace yoke::store
