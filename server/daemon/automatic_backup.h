// Copies the database from time to time, while it is in use. One thread.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "server/daemon/repeater.h"
#include "server/jobs/job_store.h"

namespace yoke::daemon {

class AutomaticBackup {
 public:
  // Every so often after the newest copy there is, if anything has changed since; never if zero.
  // The store must outlive it.
  AutomaticBackup(jobs::JobStore& store, std::string database_path, absl::Duration every);

 private:
  absl::Duration UntilDue() const;
  void CopyIfChanged();

  jobs::JobStore& store_;
  const std::string database_path_;
  const absl::Duration every_;
  int64_t copied_sequence_ = -1;        // of the repeater's thread
  std::unique_ptr<Repeater> repeater_;  // its end waits for a copy that is being written
};

}  // namespace yoke::daemon
