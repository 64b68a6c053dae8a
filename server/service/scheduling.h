// The scheduling part of a CreateJobRequest, checked and put into the job that is stored.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"
#include "yoke/v1/job.pb.h"

namespace yoke::service {

// Fills job.scheduling, nothing of it left to default, and holds the job if that was asked. `find`:
// a job by name or unique prefix, as the caller may see it. InvalidArgument with every violation:
// reason DEPENDENCY_NOT_FOUND if a dependency is no job, SCHEDULING_INVALID for the rest.
absl::Status ApplyScheduling(
    const v1::CreateJobRequest& request, const std::set<std::string>& queues,
    const std::function<absl::StatusOr<jobs::JobRecord>(const std::string& name)>& find,
    jobs::JobRecord& record);

// The same of a job that exists, whose scheduling was edited: fills and checks all but which jobs
// the dependencies name.
absl::Status CheckScheduling(const std::set<std::string>& queues, v1::Scheduling& scheduling);

// Gives each dependency its job's full name. InvalidArgument, reason DEPENDENCY_NOT_FOUND.
absl::Status FindDependencies(
    const std::function<absl::StatusOr<jobs::JobRecord>(const std::string& name)>& find,
    v1::Scheduling& scheduling);

// How long before a limit a job is asked to stop where nothing is said.
google::protobuf::Duration DefaultSignalBefore(const google::protobuf::Duration& time_limit);

}  // namespace yoke::service
