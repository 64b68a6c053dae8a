#include "server/jobs/update.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/jobs/array.h"
#include "server/jobs/state_machine.h"
#include "server/jobs/transitions.h"

namespace yoke::jobs {
namespace {

using v1::Job;

absl::Status TooLate(const char* reason, const std::string& field, const Job& job,
                     const char* because) {
  return Refuse(reason, absl::StrCat("The ", field, " cannot change any more: ", because,
                                     Job::State_Name(job.state()), "."));
}

absl::Status MayStillChange(const std::string& path, const Job& job) {
  if (path == "display_name") return absl::OkStatus();
  if (IsTerminal(job.state())) {
    return TooLate("JOB_ENDED", path, job, "the job has ended already, it is ");
  }
  if (path == "array.running_max" && !job.has_array())
    return Refuse("JOB_IS_NO_ARRAY",
                  "The job is no array: it has no tasks that could run at once.");
  if (path == "scheduling.time_limit" || path == "scheduling.signal_before") {
    if (job.state() != Job::STOPPING) return absl::OkStatus();
    return TooLate("JOB_STOPPING", path, job, "the job is being stopped, it is ");
  }
  if (path != "scheduling.queue" && path != "scheduling.share_memory_bytes" &&
      path != "scheduling.dependencies")
    return absl::OkStatus();
  const bool waits = job.state() == Job::QUEUED || job.state() == Job::HELD;
  if (waits && job.array().made() == 0) return absl::OkStatus();
  return TooLate("JOB_NOT_WAITING", path, job, "it is read while a job waits, and this one is ");
}

void Change(const Job& wanted, const std::string& path, Job& job) {
  const v1::Scheduling& from = wanted.scheduling();
  v1::Scheduling& to = *job.mutable_scheduling();
  if (path == "display_name") {
    job.set_display_name(wanted.display_name());
  } else if (path == "priority") {
    job.set_priority(wanted.priority());
  } else if (path == "array.running_max") {
    job.mutable_array()->set_running_max(wanted.array().running_max());
  } else if (path == "scheduling.queue") {
    to.set_queue(from.queue());
  } else if (path == "scheduling.preemptible") {
    to.set_preemptible(from.preemptible());
  } else if (path == "scheduling.share_memory_bytes") {
    to.set_share_memory_bytes(from.share_memory_bytes());
  } else if (path == "scheduling.dependencies") {
    *to.mutable_dependencies() = from.dependencies();
  } else if (path == "scheduling.time_limit") {
    from.has_time_limit() ? void(*to.mutable_time_limit() = from.time_limit())
                          : to.clear_time_limit();
  } else {
    from.has_signal_before() ? void(*to.mutable_signal_before() = from.signal_before())
                             : to.clear_signal_before();
  }
}

}  // namespace

const std::vector<std::string>& UpdatablePaths() {
  static const std::vector<std::string> paths = {"display_name",
                                                 "priority",
                                                 "scheduling.queue",
                                                 "scheduling.preemptible",
                                                 "scheduling.time_limit",
                                                 "scheduling.signal_before",
                                                 "scheduling.dependencies",
                                                 "scheduling.share_memory_bytes",
                                                 "array.running_max"};
  return paths;
}

absl::Status UpdateFields(const Job& wanted, const std::vector<std::string>& paths,
                          JobRecord& record) {
  Job& job = record.public_job;
  for (const std::string& path : paths) YOKE_RETURN_IF_ERROR(MayStillChange(path, job));
  for (const std::string& path : paths) Change(wanted, path, job);
  return absl::OkStatus();
}

std::string WaitsForItself(const std::string& name, const v1::Scheduling& wanted,
                           const OpenJobs& open_jobs) {
  std::multimap<std::string, std::string> waits_for;
  for (const JobRecord& record : open_jobs) {
    const Job& job = record.public_job;
    for (const v1::Scheduling::Dependency& each : job.scheduling().dependencies())
      waits_for.emplace(job.name(), each.job());
    if (IsTask(job)) waits_for.emplace(job.array_job(), job.name());
  }
  for (const v1::Scheduling::Dependency& first : wanted.dependencies()) {
    std::set<std::string> seen;
    std::vector<std::string> open = {first.job()};
    while (!open.empty()) {
      const std::string next = std::move(open.back());
      open.pop_back();
      if (next == name) return first.job();
      if (!seen.insert(next).second) continue;
      const auto [begin, end] = waits_for.equal_range(next);
      for (auto each = begin; each != end; ++each) open.push_back(each->second);
    }
  }
  return "";
}

}  // namespace yoke::jobs
