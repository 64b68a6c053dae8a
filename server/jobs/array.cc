#include "server/jobs/array.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "google/protobuf/util/time_util.h"
#include "server/jobs/state_machine.h"
#include "server/jobs/sweep.h"
#include "server/jobs/update.h"

namespace yoke::jobs {
namespace {

using v1::Job;
using v1::JobReason;

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  return google::protobuf::util::TimeUtil::MillisecondsToTimestamp(absl::ToUnixMillis(time));
}

void Move(Job& job, Job::State state, JobReason::Code reason, std::string message) {
  job.set_state(state);
  job.set_reason(reason);
  job.set_message(std::move(message));
}

// How it ended, once every task has.
void SetOutcome(Job& job) {
  const v1::Array& array = job.array();
  if (array.failed() > 0) {
    Move(job, Job::FAILED, JobReason::TASK_FAILED,
         absl::StrCat(array.failed(), " of ", array.count(), " tasks failed."));
  } else if (array.cancelled() > 0) {
    Move(job, Job::CANCELLED, JobReason::CANCELLED_BY_USER,
         absl::StrCat(array.cancelled(), " of ", array.count(), " tasks were cancelled."));
  } else {
    Move(job, Job::SUCCEEDED, JobReason::COMPLETED,
         absl::StrCat("All ", array.count(), " tasks succeeded."));
  }
}

absl::Status RefuseUnlessOpen(const JobRecord& array) {
  const Job::State state = array.public_job.state();
  if (IsTerminal(state))
    return Refuse("JOB_ENDED",
                  absl::StrCat("The array has ended already: ", Job::State_Name(state), "."));
  if (array.stop_requested) return Refuse("JOB_STOPPING", "The array is being stopped already.");
  return absl::OkStatus();
}

JobRecord MakeTask(const JobRecord& array, int place, absl::Time now, std::string id) {
  const Job& from = array.public_job;
  TaskSpec asked = SpecOfTask(from.array(), place);
  const ResolvedSpec resolved = Resolve(asked.asked);
  JobRecord record;
  record.id = std::move(id);
  record.uid = array.uid;
  record.user_set = resolved.user_set;
  Job& job = record.public_job;
  job.set_owner(from.owner());
  job.set_priority(from.priority());
  job.set_array_job(from.name());
  job.set_array_index(from.array().first() + place);
  job.set_display_name(absl::StrCat(from.display_name(), "[", job.array_index(), "]"));
  for (v1::TaskValue& value : asked.values) *job.add_task_values() = std::move(value);
  *job.mutable_spec() = resolved.spec;
  *job.mutable_device_uuids() = from.device_uuids();
  job.mutable_warnings()->Assign(resolved.warnings.begin(), resolved.warnings.end());
  *job.mutable_scheduling() = from.scheduling();
  // The array has waited for them.
  job.mutable_scheduling()->clear_dependencies();
  *job.mutable_create_time() = ToTimestamp(now);
  Move(job, Job::QUEUED, JobReason::WAITING_FOR_PRIORITY, kWaitsItsTurn);
  if (resolved.violations.empty()) return record;
  const auto say = [](std::string* out, const Violation& violation) {
    absl::StrAppend(out, violation.description);
  };
  Move(job, Job::FAILED, JobReason::BAD_INPUT, absl::StrJoin(resolved.violations, "; ", say));
  *job.mutable_end_time() = ToTimestamp(now);
  return record;
}

}  // namespace

void CountTasks(Job::State state, int by, v1::Array& array) {
  switch (state) {
    case Job::QUEUED:
    case Job::HELD:
      array.set_queued(array.queued() + by);
      return;
    case Job::STARTING:
    case Job::RUNNING:
    case Job::STOPPING:
      array.set_running(array.running() + by);
      return;
    case Job::SUCCEEDED:
      array.set_succeeded(array.succeeded() + by);
      return;
    case Job::FAILED:
    case Job::TIMED_OUT:
      array.set_failed(array.failed() + by);
      return;
    case Job::CANCELLED:
      array.set_cancelled(array.cancelled() + by);
      return;
    default:
      return;
  }
}

int TasksLeft(const Job& array) { return array.array().count() - array.array().made(); }

void Settle(JobRecord& record, absl::Time now) {
  Job& job = record.public_job;
  const v1::Array& array = job.array();
  if (IsTerminal(job.state())) return;
  if (array.running() > 0 && !job.has_start_time()) *job.mutable_start_time() = ToTimestamp(now);
  const bool none_open = array.queued() + array.running() == 0;
  if (none_open && (record.stop_requested || array.made() == array.count())) {
    if (record.stop_requested && array.succeeded() < array.count()) {
      Move(job, Job::CANCELLED, JobReason::CANCELLED_BY_USER,
           absl::StrCat("Cancelled; ", array.succeeded(), " of ", array.count(),
                        " tasks had succeeded."));
    } else {
      SetOutcome(job);
    }
    *job.mutable_end_time() = ToTimestamp(now);
  } else if (record.stop_requested) {
    Move(job, Job::STOPPING, JobReason::CANCELLED_BY_USER, "Its tasks were asked to stop.");
  } else if (array.held()) {
    Move(job, Job::HELD, JobReason::HELD_BY_USER, "No task starts until it is released.");
  } else if (array.made() > 0) {
    Move(job, Job::RUNNING, JobReason::CODE_UNSPECIFIED, "");
  } else if (job.state() != Job::QUEUED) {
    Move(job, Job::QUEUED, JobReason::WAITING_FOR_PRIORITY, kWaitsItsTurn);
  }
}

bool FollowTask(Job::State before, Job::State after, absl::Time now, JobRecord& record) {
  v1::Array& array = *record.public_job.mutable_array();
  const v1::Array counted = array;
  CountTasks(before, -1, array);
  CountTasks(after, 1, array);
  const bool moved = counted.queued() != array.queued() || counted.running() != array.running() ||
                     counted.succeeded() != array.succeeded() ||
                     counted.failed() != array.failed() || counted.cancelled() != array.cancelled();
  if (moved) Settle(record, now);
  return moved;
}

void FollowTasks(const ArrayWithTasks& before, absl::Time now, ArrayWithTasks& after) {
  v1::Array& array = *after.array.public_job.mutable_array();
  for (size_t i = 0; i < after.tasks.size(); ++i) {
    CountTasks(before.tasks[i].public_job.state(), -1, array);
    CountTasks(after.tasks[i].public_job.state(), 1, array);
  }
  for (const JobRecord& task : after.added) CountTasks(task.public_job.state(), 1, array);
  Settle(after.array, now);
}

absl::Status MakeTasks(int most, absl::Time now, const std::function<std::string()>& new_id,
                       ArrayWithTasks& change) {
  YOKE_RETURN_IF_ERROR(RefuseUnlessOpen(change.array));
  v1::Array& array = *change.array.public_job.mutable_array();
  if (array.held()) return Refuse("JOB_NOT_WAITING", "The array is held.");
  const int end = std::min(array.made() + most, array.count());
  for (int place = array.made(); place < end; ++place)
    change.added.push_back(MakeTask(change.array, place, now, new_id()));
  array.set_made(end);
  return absl::OkStatus();
}

absl::Status StopArray(const StopIntent& intent, absl::Time now, ArrayWithTasks& change) {
  JobRecord& array = change.array;
  if (IsTerminal(array.public_job.state())) return RefuseUnlessOpen(array);
  array.stop_requested = true;
  array.stop_reason = intent.reason;
  array.stop_grace_seconds = intent.grace_seconds;
  for (JobRecord& task : change.tasks) YOKE_RETURN_IF_ERROR(IntendStop(task, intent, now));
  return absl::OkStatus();
}

absl::Status HoldArray(ArrayWithTasks& change) {
  YOKE_RETURN_IF_ERROR(RefuseUnlessOpen(change.array));
  change.array.public_job.mutable_array()->set_held(true);
  for (JobRecord& task : change.tasks) {
    if (task.public_job.state() == Job::QUEUED) YOKE_RETURN_IF_ERROR(Hold(task));
  }
  return absl::OkStatus();
}

absl::Status ReleaseArray(ArrayWithTasks& change) {
  YOKE_RETURN_IF_ERROR(RefuseUnlessOpen(change.array));
  change.array.public_job.mutable_array()->set_held(false);
  for (JobRecord& task : change.tasks) {
    if (task.public_job.state() == Job::HELD) YOKE_RETURN_IF_ERROR(Release(task));
  }
  return absl::OkStatus();
}

absl::Status UpdateArrayFields(const Job& wanted, const std::vector<std::string>& paths,
                               ArrayWithTasks& change) {
  YOKE_RETURN_IF_ERROR(UpdateFields(wanted, paths, change.array));
  for (const std::string& path : paths) {
    if (path == "display_name" || path == "scheduling.dependencies" || path == "array.running_max")
      continue;
    for (JobRecord& task : change.tasks) UpdateFields(wanted, {path}, task).IgnoreError();
  }
  return absl::OkStatus();
}

}  // namespace yoke::jobs
