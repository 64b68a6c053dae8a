// The jobs that have not ended, in brief: what ordering and starting them takes, small enough that
// all of them are kept in memory.
//
//   for (const JobRecord& job : store.Open()) ...
#pragma once

#include <initializer_list>
#include <memory>
#include <vector>

#include "server/jobs/job_store.h"

namespace yoke::jobs {

// A record without what only people read: banner, warnings, progress, results, errors, folders,
// keys, what its tasks are made of if it is an array, and of the specification all but `device` and, where it has an attempt, which task it is.
JobRecord InBrief(const JobRecord& job);

// Whether what changed is for people only: progress, results, errors, and what a job says it waits for. Ordering and
// starting jobs do not depend on it.
bool PlansAlike(const JobRecord& before, const JobRecord& after);

// By sequence, as of one moment. Cheap to copy, and never changes.
class OpenJobs {
 public:
  using Pointer = std::shared_ptr<const JobRecord>;

  class Iterator {
   public:
    explicit Iterator(std::vector<Pointer>::const_iterator at) : at_(at) {}
    const JobRecord& operator*() const { return **at_; }
    const JobRecord* operator->() const { return at_->get(); }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const Iterator& other) const = default;

   private:
    std::vector<Pointer>::const_iterator at_;
  };

  OpenJobs() = default;
  explicit OpenJobs(std::vector<Pointer> jobs) : jobs_(std::move(jobs)) {}
  // For tests: of records as they are.
  OpenJobs(const std::vector<JobRecord>& jobs);  // NOLINT(google-explicit-constructor)
  OpenJobs(std::initializer_list<JobRecord> jobs) : OpenJobs(std::vector<JobRecord>(jobs)) {}

  Iterator begin() const { return Iterator(jobs_.begin()); }
  Iterator end() const { return Iterator(jobs_.end()); }
  const JobRecord& operator[](size_t place) const { return *jobs_[place]; }
  size_t size() const { return jobs_.size(); }
  bool empty() const { return jobs_.empty(); }

 private:
  std::vector<Pointer> jobs_;
};

}  // namespace yoke::jobs
