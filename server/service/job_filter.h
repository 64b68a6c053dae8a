// The `filter` of ListJobs and WatchJobs, in the syntax of AIP-160 as far as the API promises it:
//   state = RUNNING            owner = "ann"            display_name = "night"
// joined by AND and OR, of which OR binds tighter; parentheses around a group are fine. One group
// of OR compares one field.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"
#include "yoke/v1/job.pb.h"

namespace yoke::service {

class JobQuery {
 public:
  // Empty text: every job. InvalidArgument names the place and what is expected there.
  static absl::StatusOr<JobQuery> Parse(const std::string& text);

  bool Matches(const v1::Job& job) const;
  bool Matches(const jobs::StoredJob& job) const;

  // What the store can look for. It may find more than Matches lets through: "owner = a OR owner =
  // b".
  const jobs::JobFilter& store_filter() const { return store_filter_; }
  // Conditions that no job fulfils: "state = RUNNING AND state = QUEUED".
  bool matches_nothing() const { return matches_nothing_; }

 private:
  friend class JobQueryParser;

  bool Matches(v1::Job::State state, const std::string& owner,
               const std::string& display_name) const;

  // One of the values must be the field's; the fields are ANDed.
  std::optional<std::vector<v1::Job::State>> states_;
  std::optional<std::vector<std::string>> owners_, display_names_;
  jobs::JobFilter store_filter_;
  bool matches_nothing_ = false;
};

}  // namespace yoke::service
