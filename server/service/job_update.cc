// The part of JobService that changes jobs which were submitted.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "google/protobuf/util/time_util.h"
#include "server/jobs/array.h"
#include "server/jobs/sweep.h"
#include "server/jobs/update.h"
#include "server/service/errors.h"
#include "server/service/job_service.h"
#include "server/service/scheduling.h"
#include "server/service/submission.h"

namespace yoke::service {
namespace {

constexpr char kUpdateJob[] = "yoke.v1.JobService/UpdateJob";

absl::Status CheckPaths(const std::vector<std::string>& paths) {
  const std::vector<std::string>& known = jobs::UpdatablePaths();
  const std::string choice = absl::StrJoin(known, ", ");
  if (paths.empty()) {
    return InvalidField("update_mask",
                        absl::StrCat("update_mask names no field; give it some of ", choice),
                        "FIELD_NOT_UPDATABLE");
  }
  for (const std::string& path : paths) {
    if (std::find(known.begin(), known.end(), path) != known.end()) continue;
    return InvalidField("update_mask",
                        absl::StrCat("'", path, "' cannot be changed; what can is ", choice),
                        "FIELD_NOT_UPDATABLE");
  }
  return absl::OkStatus();
}

bool Names(const std::vector<std::string>& paths, const char* path) {
  return std::find(paths.begin(), paths.end(), path) != paths.end();
}

// A signal_before that nobody chose follows the limit.
void FollowLimit(const v1::Scheduling& before, v1::Scheduling& after) {
  const bool was_default = !before.has_time_limit() ||
                           before.signal_before() == DefaultSignalBefore(before.time_limit());
  const bool fits = after.has_time_limit() && after.signal_before() < after.time_limit();
  if (was_default || !fits) after.clear_signal_before();
}

}  // namespace

grpc::Status JobService::UpdateJob(grpc::ServerContext* context,
                                   const v1::UpdateJobRequest* request, v1::Job* job) {
  return ToGrpc(Update(*context, *request, *job));
}

absl::Status JobService::Update(const grpc::ServerContext& context,
                                const v1::UpdateJobRequest& request, v1::Job& job) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, kUpdateJob));
  const std::vector<std::string> paths(request.update_mask().paths().begin(),
                                       request.update_mask().paths().end());
  YOKE_RETURN_IF_ERROR(CheckPaths(paths));
  v1::Job wanted = request.job();
  const std::string name_problem = DisplayNameProblem(wanted.display_name());
  if (Names(paths, "display_name") && !name_problem.empty())
    return InvalidField("job.display_name", name_problem, "SPEC_INVALID");
  const std::string priority_problem = PriorityProblem(wanted.priority());
  if (Names(paths, "priority") && !priority_problem.empty())
    return InvalidField("job.priority", priority_problem, "PRIORITY_INVALID");
  const int running_max = wanted.array().running_max();
  if (Names(paths, "array.running_max") && (running_max < 0 || running_max > jobs::kTasksMax)) {
    return InvalidField(
        "job.array.running_max",
        absl::StrCat("running_max=", running_max, " is out of range; it takes 0 to ",
                     jobs::kTasksMax, ", 0 is no limit"),
        "SPEC_INVALID");
  }
  // One at a time: two changes together could make two jobs wait for each other.
  MutexLock alone(update_mutex_);
  if (Names(paths, "scheduling.dependencies"))
    YOKE_RETURN_IF_ERROR(FindNewDependencies(caller, wanted));
  const auto is_current = [&](const v1::Job& now) -> absl::Status {
    if (!wanted.etag().empty() && wanted.etag() != now.etag()) {
      return WithReason(absl::AbortedError("The job has changed since it was read; read it again."),
                        "ETAG_MISMATCH");
    }
    return absl::OkStatus();
  };
  const auto complete = [&](const v1::Scheduling& before, v1::Job& now) -> absl::Status {
    if (Names(paths, "scheduling.share_memory_bytes")) {
      const auto selection = shared_.inventory().Resolve(now.spec().device());
      const std::string problem = !selection.ok()
                                      ? std::string(selection.status().message())
                                      : ShareProblem(now.scheduling().share_memory_bytes(),
                                                     *selection, shared_.inventory());
      if (!problem.empty())
        return InvalidField("scheduling.share_memory_bytes", problem, "SCHEDULING_INVALID");
    }
    if (Names(paths, "scheduling.time_limit") && !Names(paths, "scheduling.signal_before"))
      FollowLimit(before, *now.mutable_scheduling());
    return CheckScheduling(shared_.control().QueueNames(), *now.mutable_scheduling());
  };
  const auto edit = [&](jobs::JobRecord& record) -> absl::Status {
    const v1::Scheduling before = record.public_job.scheduling();
    YOKE_RETURN_IF_ERROR(is_current(record.public_job));
    YOKE_RETURN_IF_ERROR(jobs::UpdateFields(wanted, paths, record));
    return complete(before, record.public_job);
  };
  const auto edit_array = [&](jobs::ArrayWithTasks& change) -> absl::Status {
    const v1::Scheduling before = change.array.public_job.scheduling();
    YOKE_RETURN_IF_ERROR(is_current(change.array.public_job));
    YOKE_RETURN_IF_ERROR(jobs::UpdateArrayFields(wanted, paths, change));
    for (jobs::JobRecord& task : change.tasks)
      YOKE_RETURN_IF_ERROR(complete(before, task.public_job));
    return complete(before, change.array.public_job);
  };
  return Edit(context, kUpdateJob, wanted.name(), edit, edit_array, job);
}

absl::Status JobService::FindNewDependencies(const Caller& caller, v1::Job& wanted) {
  YOKE_ASSIGN_OR_RETURN(const jobs::JobRecord found,
                        shared_.FindJob(kUpdateJob, caller, wanted.name()));
  v1::Scheduling& scheduling = *wanted.mutable_scheduling();
  YOKE_RETURN_IF_ERROR(FindDependencies(
      [&](const std::string& name) { return shared_.FindJob(kUpdateJob, caller, name); },
      scheduling));
  const std::string circle =
      jobs::WaitsForItself(found.public_job.name(), scheduling, shared_.store().Open());
  if (circle.empty()) return absl::OkStatus();
  return InvalidField(
      "scheduling.dependencies.job",
      absl::StrCat("cannot wait for ", circle, ": ",
                   circle == found.public_job.name() ? "that is the job itself"
                                                     : "that job waits for this one"),
      "SCHEDULING_INVALID");
}

}  // namespace yoke::service
