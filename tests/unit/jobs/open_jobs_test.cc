#include "server/jobs/open_jobs.h"

#include <gmock/gmock.h>

namespace yoke::jobs {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Gives every field of `message` a value, and every repeated one an element; no more than `depth` messages deep.
void Fill(Message& message, int depth) {
  const google::protobuf::Reflection& r = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = message.GetDescriptor()->field(i);
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        if (depth > 0) Fill(field->is_repeated() ? *r.AddMessage(&message, field) : *r.MutableMessage(&message, field), depth - 1);
        break;
      case FieldDescriptor::CPPTYPE_STRING: field->is_repeated() ? r.AddString(&message, field, "x") : r.SetString(&message, field, "x"); break;
      case FieldDescriptor::CPPTYPE_INT32: field->is_repeated() ? r.AddInt32(&message, field, 1) : r.SetInt32(&message, field, 1); break;
      case FieldDescriptor::CPPTYPE_INT64: field->is_repeated() ? r.AddInt64(&message, field, 1) : r.SetInt64(&message, field, 1); break;
      case FieldDescriptor::CPPTYPE_DOUBLE: field->is_repeated() ? r.AddDouble(&message, field, 1) : r.SetDouble(&message, field, 1); break;
      case FieldDescriptor::CPPTYPE_BOOL: field->is_repeated() ? r.AddBool(&message, field, true) : r.SetBool(&message, field, true); break;
      case FieldDescriptor::CPPTYPE_ENUM: field->is_repeated() ? r.AddEnumValue(&message, field, 1) : r.SetEnumValue(&message, field, 1); break;
      default: ADD_FAILURE() << field->full_name() << ": teach Fill this type"; break;
    }
  }
}

JobRecord Full(v1::Job::State state) {
  JobRecord job;
  job.id = "id";
  job.sequence = 7;
  job.user_set = {"data"};
  job.request_id = "request";
  job.request_hash = "hash";
  job.stop_requested = true;
  job.stop_reason = "reason";
  job.stop_grace_seconds = 3;
  job.uid = 1000;
  Fill(job.public_job, 4);
  job.public_job.set_state(state);
  return job;
}

// A field that is added to a job stays in its brief, until somebody says here that only people read it.
TEST(OpenJobs, TheBriefLacksWhatOnlyPeopleReadAndNothingElse) {
  for (const v1::Job::State state : {v1::Job::QUEUED, v1::Job::RUNNING}) {
    const JobRecord job = Full(state), brief = InBrief(job);
    v1::Job expected = job.public_job;
    expected.clear_banner();
    expected.clear_warnings();
    expected.clear_progress();
    expected.clear_result();
    expected.clear_error();
    expected.clear_run_dir();
    expected.clear_etag();
    expected.clear_create_time();
    expected.clear_task_values();
    for (v1::Attempt& attempt : *expected.mutable_attempts()) attempt.clear_error();
    expected.mutable_array()->clear_sweep();
    expected.mutable_array()->clear_asked();
    const v1::JobSpec::TaskCase task = expected.spec().task_case();
    expected.clear_spec();
    expected.mutable_spec()->set_device(job.public_job.spec().device());
    if (state == v1::Job::RUNNING) {
      EXPECT_EQ(brief.public_job.spec().task_case(), task);
      *expected.mutable_spec() = brief.public_job.spec();
      EXPECT_LT(expected.spec().ByteSizeLong(), job.public_job.spec().ByteSizeLong());
    }
    EXPECT_EQ(brief.public_job.DebugString(), expected.DebugString());
    EXPECT_EQ(brief.id, job.id);
    EXPECT_EQ(brief.sequence, job.sequence);
    EXPECT_EQ(brief.request_id, job.request_id);
    EXPECT_EQ(brief.stop_requested, job.stop_requested);
    EXPECT_EQ(brief.stop_reason, job.stop_reason);
    EXPECT_EQ(brief.stop_grace_seconds, job.stop_grace_seconds);
    EXPECT_EQ(brief.uid, job.uid);
    EXPECT_TRUE(brief.user_set.empty());
    EXPECT_TRUE(brief.request_hash.empty());
  }
}

}  // namespace
}  // namespace yoke::jobs
