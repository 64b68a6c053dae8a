// Keeps jobs that are to be tried again from the scheduler until their time has come.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/jobs/job_store.h"

namespace yoke::daemon {

// A job's time is of the wall clock, which may jump; what is left of it is measured once, never
// more than a minute, and waited for by the clock since boot.
class RetryWait {
 public:
  // Takes out of `open` the jobs whose time has not come.
  void HoldBack(absl::Time now, int64_t boot_ms, std::vector<jobs::JobRecord>& open);
  // Until the first of those held back is due; nothing if none is.
  std::optional<absl::Duration> Left(int64_t boot_ms) const;

 private:
  struct Due {
    absl::Time time;  // as the job has it
    int64_t boot_ms = 0;
  };
  std::map<std::string, Due> due_;  // by job id; of those held back last
};

}  // namespace yoke::daemon
