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
  JobRecord brief = job;
  brief.user_set = {};
  brief.request_hash = {};
  v1::Job& shown = brief.public_job;
  for (auto* lines : {shown.mutable_banner(), shown.mutable_warnings()}) {
    google::protobuf::RepeatedPtrField<std::string>().Swap(lines);
  }
  shown.clear_progress();
  shown.clear_result();
  shown.clear_error();
  shown.clear_run_dir();
  shown.clear_etag();
  shown.clear_create_time();
  shown.clear_task_values();
  for (v1::Attempt& attempt : *shown.mutable_attempts()) attempt.clear_error();
  if (shown.has_array()) {
    google::protobuf::RepeatedPtrField<v1::SweepKey>().Swap(shown.mutable_array()->mutable_sweep());
    shown.mutable_array()->clear_asked();
  }
  if (HasLiveAttempt(shown.state())) {
    KeepTaskAlone(*shown.mutable_spec());
  } else {
    const std::string device = shown.spec().device();
    v1::JobSpec().Swap(shown.mutable_spec());
    shown.mutable_spec()->set_device(device);
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
