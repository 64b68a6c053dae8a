#include "server/service/scheduling.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "google/protobuf/util/time_util.h"
#include "server/jobs/job_control.h"
#include "server/jobs/transitions.h"
#include "server/service/durations.h"
#include "server/service/errors.h"

namespace yoke::service {
namespace {

constexpr int kDependenciesMax = 100;
constexpr absl::Duration kTimeLimitMin = absl::Seconds(1);
constexpr absl::Duration kTimeLimitMax = absl::Hours(24 * 366);
constexpr absl::Duration kSignalBeforeMax = absl::Seconds(60);

google::protobuf::Duration ToProtoDuration(absl::Duration duration) {
  return google::protobuf::util::TimeUtil::MillisecondsToDuration(
      absl::ToInt64Milliseconds(duration));
}

void ApplyTimes(v1::Scheduling& asked, std::vector<jobs::Violation>& violations) {
  const absl::Duration before = FromProto(asked.signal_before());
  if (!asked.has_time_limit()) {
    if (asked.has_signal_before()) {
      violations.push_back(
          {"scheduling.signal_before", "signal_before needs a time_limit that it comes before"});
    }
    return;
  }
  const absl::Duration limit = FromProto(asked.time_limit());
  if (limit < kTimeLimitMin || limit > kTimeLimitMax) {
    violations.push_back(
        {"scheduling.time_limit", absl::StrCat("time_limit=", absl::FormatDuration(limit),
                                               " is out of range; it takes 1 s to 366 days")});
    return;
  }
  if (!asked.has_signal_before()) {
    *asked.mutable_signal_before() = DefaultSignalBefore(asked.time_limit());
  } else if (before < absl::ZeroDuration() || before >= limit) {
    violations.push_back(
        {"scheduling.signal_before",
         absl::StrCat("signal_before=", absl::FormatDuration(before),
                      " must be shorter than the time_limit, ", absl::FormatDuration(limit))});
  }
}

void ApplyQueue(const std::set<std::string>& queues, v1::Scheduling& asked,
                std::vector<jobs::Violation>& violations) {
  if (asked.queue().empty()) asked.set_queue(jobs::kDefaultQueue);
  if (queues.contains(asked.queue())) return;
  violations.push_back(
      {"scheduling.queue", absl::StrCat("there is no queue '", asked.queue(), "'; the queues are ",
                                        absl::StrJoin(queues, ", "))});
}

}  // namespace

google::protobuf::Duration DefaultSignalBefore(const google::protobuf::Duration& time_limit) {
  return ToProtoDuration(std::min(FromProto(time_limit) / 10, kSignalBeforeMax));
}

absl::Status CheckScheduling(const std::set<std::string>& queues, v1::Scheduling& scheduling) {
  std::vector<jobs::Violation> violations;
  ApplyTimes(scheduling, violations);
  ApplyQueue(queues, scheduling, violations);
  if (scheduling.dependencies_size() > kDependenciesMax) {
    violations.push_back(
        {"scheduling.dependencies", absl::StrCat("a job waits for at most ", kDependenciesMax,
                                                 " others, not ", scheduling.dependencies_size())});
  }
  for (const v1::Scheduling::Dependency& dependency : scheduling.dependencies()) {
    if (!v1::Scheduling::Dependency::Condition_IsValid(dependency.condition())) {
      violations.push_back(
          {"scheduling.dependencies.condition",
           absl::StrCat("there is no condition ", static_cast<int>(dependency.condition()))});
    }
  }
  return violations.empty() ? absl::OkStatus() : InvalidFields(violations, "SCHEDULING_INVALID");
}

absl::Status FindDependencies(
    const std::function<absl::StatusOr<jobs::JobRecord>(const std::string& name)>& find,
    v1::Scheduling& scheduling) {
  for (v1::Scheduling::Dependency& dependency : *scheduling.mutable_dependencies()) {
    const absl::StatusOr<jobs::JobRecord> found = find(dependency.job());
    if (!found.ok()) {
      if (!absl::IsNotFound(found.status()) && !absl::IsInvalidArgument(found.status()))
        return found.status();
      return InvalidField(
          "scheduling.dependencies.job",
          absl::StrCat("cannot wait for job '", dependency.job(), "': ", found.status().message()),
          "DEPENDENCY_NOT_FOUND");
    }
    dependency.set_job(found->public_job.name());
    if (dependency.condition() == v1::Scheduling::Dependency::CONDITION_UNSPECIFIED)
      dependency.set_condition(v1::Scheduling::Dependency::OK);
  }
  return absl::OkStatus();
}

absl::Status ApplyScheduling(
    const v1::CreateJobRequest& request, const std::set<std::string>& queues,
    const std::function<absl::StatusOr<jobs::JobRecord>(const std::string& name)>& find,
    jobs::JobRecord& record) {
  v1::Scheduling asked = request.scheduling();
  YOKE_RETURN_IF_ERROR(CheckScheduling(queues, asked));
  YOKE_RETURN_IF_ERROR(FindDependencies(find, asked));
  *record.public_job.mutable_scheduling() = std::move(asked);
  if (request.hold() && request.has_array()) record.public_job.mutable_array()->set_held(true);
  return request.hold() ? jobs::Hold(record) : absl::OkStatus();
}

}  // namespace yoke::service
