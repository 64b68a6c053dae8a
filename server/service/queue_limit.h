// Keeps the number of open jobs below its limit without counting them at each submission.
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
  // So many places were not used.
  void GiveBack(size_t places);

 private:
  jobs::JobStore& store_;
  const int open_max_;
  Mutex mutex_;
  // Open jobs at the last count and all places given since: never fewer than there are. Counts at
  // first use.
  int64_t at_most_ YOKE_GUARDED_BY(mutex_) = INT64_MAX / 2;
};

}  // namespace yoke::service
