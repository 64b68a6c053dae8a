#include "server/jobs/open_jobs.h"

#include "server/jobs/state_machine.h"

namespace yoke::jobs {
namespace {

// The same task without its settings.
void KeepTaskAlone(v1::JobSpec& spec) {
  const google::protobuf::Reflection& reflection = *spec.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> set;
  reflection.ListFields(spec, &set);
  for (const google::protobuf::FieldDescriptor* field : set) {
    if (field->real_containing_oneof() != nullptr) reflection.MutableMessage(&spec, field)->Clear();
  }
}

}  // namespace

JobRecord InBrief(const JobRecord& job) {
  JobRecord brief;
  brief.id = job.id;
  brief.sequence = job.sequence;
  brief.request_id = job.request_id;
  brief.stop_requested = job.stop_requested;
  brief.stop_reason = job.stop_reason;
  brief.stop_grace_seconds = job.stop_grace_seconds;
  brief.uid = job.uid;
  const v1::Job& from = job.public_job;
  v1::Job& to = brief.public_job;
  to.set_name(from.name());
  to.set_display_name(from.display_name());
  to.set_owner(from.owner());
  to.set_state(from.state());
  to.set_reason(from.reason());
  to.set_message(from.message());
  to.set_priority(from.priority());
  if (from.has_start_time()) *to.mutable_start_time() = from.start_time();
  if (from.has_end_time()) *to.mutable_end_time() = from.end_time();
  *to.mutable_attempts() = from.attempts();
  for (v1::Attempt& attempt : *to.mutable_attempts()) attempt.clear_error();
  to.set_parent(from.parent());
  *to.mutable_device_uuids() = from.device_uuids();
  if (from.has_scheduling()) *to.mutable_scheduling() = from.scheduling();
  if (from.has_next_attempt_time()) *to.mutable_next_attempt_time() = from.next_attempt_time();
  if (from.has_array()) {
    *to.mutable_array() = from.array();
    google::protobuf::RepeatedPtrField<v1::SweepKey>().Swap(to.mutable_array()->mutable_sweep());
    to.mutable_array()->clear_asked();
  }
  to.set_array_job(from.array_job());
  to.set_array_index(from.array_index());
  if (HasLiveAttempt(from.state())) {
    *to.mutable_spec() = from.spec();
    KeepTaskAlone(*to.mutable_spec());
  } else {
    to.mutable_spec()->set_device(from.spec().device());
  }
  return brief;
}

bool PlansAlike(const JobRecord& before, const JobRecord& after) {
  if (before.sequence != after.sequence || before.stop_requested != after.stop_requested ||
      before.stop_grace_seconds != after.stop_grace_seconds)
    return false;
  const auto planned = [](const JobRecord& job) {
    JobRecord brief = InBrief(job);
    brief.public_job.clear_reason();
    brief.public_job.clear_message();
    return brief.public_job.SerializeAsString();
  };
  return planned(before) == planned(after);
}

OpenJobs::OpenJobs(const std::vector<JobRecord>& jobs) {
  jobs_.reserve(jobs.size());
  for (const JobRecord& job : jobs) jobs_.push_back(std::make_shared<const JobRecord>(job));
}

}  // namespace yoke::jobs
