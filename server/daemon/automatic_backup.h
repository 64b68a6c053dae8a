// Copies the database from time to time, while it is in use. One thread.
#pragma once

#include <string>
#include <thread>

#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "server/jobs/job_store.h"

namespace yoke::daemon {

class AutomaticBackup {
 public:
  // Every so often after the newest copy there is, if anything has changed since; never if zero.
  // The store must outlive it.
  AutomaticBackup(jobs::JobStore& store, std::string database_path, absl::Duration every);
  // Waits for a copy that is being written.
  ~AutomaticBackup();

 private:
  void Loop();
  absl::Duration UntilDue() const;
  void CopyIfChanged();

  jobs::JobStore& store_;
  const std::string database_path_;
  const absl::Duration every_;
  int64_t copied_sequence_ = -1;  // of the thread
  Mutex mutex_;
  CondVar woken_;
  bool stopping_ YOKE_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace yoke::daemon
