// The open jobs in memory, kept current by the writer.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/mutex.h"
#include "server/jobs/open_jobs.h"

namespace yoke::store {

// All but Open and size is the writer's thread's alone.
class OpenView {
 public:
  // Remembers what a job has become, until the group that it belongs to is committed.
  void Stage(const jobs::JobRecord& job);
  // The group was committed, or undone.
  void Keep();
  void Undo() { staged_.clear(); }

  // As of the last Keep. Thread-safe, as is size.
  jobs::OpenJobs Open() const;
  size_t size() const;

 private:
  using Pointer = jobs::OpenJobs::Pointer;

  struct Staged {
    int64_t sequence = 0;
    Pointer job;  // null: it has ended
  };

  void Put(Staged staged) YOKE_REQUIRES(mutex_);
  void Compact() YOKE_REQUIRES(mutex_);

  // One place of the list; its job is null once it has ended, until there are too many of those.
  struct Place {
    int64_t sequence = 0;
    Pointer job;
  };

  std::vector<Staged> staged_;
  mutable Mutex mutex_;
  std::vector<Place> places_ YOKE_GUARDED_BY(mutex_);  // by sequence
  size_t open_ YOKE_GUARDED_BY(mutex_) = 0;
};

}  // namespace yoke::store
