// Keeps the number of open jobs below its limit without counting them at each submission. An array counts as one job:
// only as many of its tasks are made as can soon start.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "server/jobs/job_store.h"

namespace yoke::service {

// Thread-safe.
class QueueLimit {
 public:
  QueueLimit(jobs::JobStore& store, int open_max) : store_(store), open_max_(open_max) {}

  // A place for each of these requests, or for none. ResourceExhausted (reason QUEUE_FULL) if there
  // are not enough; requests that the queue holds already need none: repeating them adds nothing.
  // REQUIRES: `request_ids` are of one owner; "" where a request has none.
  absl::Status Reserve(const std::string& owner, const std::vector<std::string>& request_ids);
  // Of the places that were reserved so many are not needed.
  void GiveBack(size_t places);
  // In so many of them there is a job now.
  void Use(size_t places);

 private:
  int64_t CountOpen();

  jobs::JobStore& store_;
  const int open_max_;
  Mutex mutex_;
  // Open jobs at the last count and those that came since: never fewer than there are. Counts at
  // first use.
  int64_t open_ YOKE_GUARDED_BY(mutex_) = INT64_MAX / 2;
  int64_t promised_ YOKE_GUARDED_BY(mutex_) = 0;  // places of jobs that are being stored
};

}  // namespace yoke::service
