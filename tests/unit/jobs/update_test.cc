#include "server/jobs/update.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace yoke::jobs {
namespace {

using testing::HasSubstr;
using v1::Job;

JobRecord JobIn(Job::State state) {
  JobRecord record;
  record.id = "a";
  record.public_job.set_state(state);
  record.public_job.mutable_scheduling()->set_queue("default");
  record.public_job.mutable_scheduling()->mutable_time_limit()->set_seconds(10);
  record.public_job.mutable_array()->set_count(3);
  return record;
}

Job Wanted() {
  Job wanted;
  wanted.set_display_name("new");
  wanted.set_priority(7);
  wanted.mutable_scheduling()->set_queue("night");
  wanted.mutable_scheduling()->set_preemptible(true);
  wanted.mutable_scheduling()->add_dependencies()->set_job("jobs/b");
  return wanted;
}

std::string RefusalOf(const absl::Status& status) {
  return std::string(status.GetPayload("yoke.reason").value_or(absl::Cord()));
}

TEST(Update, EachFieldIsRefusedFromTheStateOnInWhichItIsTooLate) {
  const std::map<std::string, std::map<Job::State, std::string>> refused = {
      {"display_name", {}},
      {"array.running_max", {{Job::SUCCEEDED, "JOB_ENDED"}}},
      {"priority", {{Job::SUCCEEDED, "JOB_ENDED"}}},
      {"scheduling.preemptible", {{Job::SUCCEEDED, "JOB_ENDED"}}},
      {"scheduling.time_limit", {{Job::STOPPING, "JOB_STOPPING"}, {Job::SUCCEEDED, "JOB_ENDED"}}},
      {"scheduling.signal_before",
       {{Job::STOPPING, "JOB_STOPPING"}, {Job::SUCCEEDED, "JOB_ENDED"}}},
      {"scheduling.queue",
       {{Job::STARTING, "JOB_NOT_WAITING"},
        {Job::RUNNING, "JOB_NOT_WAITING"},
        {Job::STOPPING, "JOB_NOT_WAITING"},
        {Job::SUCCEEDED, "JOB_ENDED"}}},
      {"scheduling.share_memory_bytes",
       {{Job::STARTING, "JOB_NOT_WAITING"},
        {Job::RUNNING, "JOB_NOT_WAITING"},
        {Job::STOPPING, "JOB_NOT_WAITING"},
        {Job::SUCCEEDED, "JOB_ENDED"}}},
      {"scheduling.dependencies",
       {{Job::STARTING, "JOB_NOT_WAITING"},
        {Job::RUNNING, "JOB_NOT_WAITING"},
        {Job::STOPPING, "JOB_NOT_WAITING"},
        {Job::SUCCEEDED, "JOB_ENDED"}}}};
  EXPECT_EQ(refused.size(), UpdatablePaths().size());
  for (const std::string& path : UpdatablePaths()) {
    for (const Job::State state :
         {Job::QUEUED, Job::HELD, Job::STARTING, Job::RUNNING, Job::STOPPING, Job::SUCCEEDED}) {
      JobRecord record = JobIn(state);
      const std::string before = record.public_job.SerializeAsString();
      const absl::Status status = UpdateFields(Wanted(), {path}, record);
      const auto expected = refused.at(path).find(state);
      if (expected == refused.at(path).end()) {
        EXPECT_TRUE(status.ok()) << path << " " << status;
        continue;
      }
      EXPECT_EQ(RefusalOf(status), expected->second) << path << " in " << Job::State_Name(state);
      EXPECT_THAT(std::string(status.message()), HasSubstr(path));
      EXPECT_THAT(std::string(status.message()), HasSubstr(Job::State_Name(state)));
      EXPECT_EQ(record.public_job.SerializeAsString(), before);
    }
  }
}

TEST(Update, OnlyWhatIsNamedChangesAndWhatIsAbsentIsCleared) {
  JobRecord record = JobIn(Job::QUEUED);
  ASSERT_TRUE(UpdateFields(Wanted(), {"priority", "scheduling.time_limit"}, record).ok());
  EXPECT_EQ(record.public_job.priority(), 7);
  EXPECT_FALSE(record.public_job.scheduling().has_time_limit());
  EXPECT_EQ(record.public_job.scheduling().queue(), "default");
  EXPECT_EQ(record.public_job.display_name(), "");
  // One refusal refuses all.
  record = JobIn(Job::RUNNING);
  EXPECT_FALSE(UpdateFields(Wanted(), {"priority", "scheduling.queue"}, record).ok());
  EXPECT_EQ(record.public_job.priority(), 0);
}

TEST(Update, AJobCannotComeToWaitForItself) {
  std::vector<JobRecord> jobs;
  for (const auto& [name, dependency] : std::map<std::string, std::string>{
           {"b", "c"}, {"c", "a"}, {"d", "d2"}, {"d2", "d"}, {"task", "a"}, {"f", "array"}}) {
    jobs.emplace_back().public_job.set_name("jobs/" + name);
    jobs.back().public_job.mutable_scheduling()->add_dependencies()->set_job("jobs/" + dependency);
    if (name == "task") jobs.back().public_job.set_array_job("jobs/array");
  }
  const auto waits = [&](const std::string& first, const std::string& second) {
    v1::Scheduling wanted;
    wanted.add_dependencies()->set_job(first);
    wanted.add_dependencies()->set_job(second);
    return WaitsForItself("jobs/a", wanted, jobs);
  };
  EXPECT_EQ(waits("jobs/e", "jobs/b"), "jobs/b");
  EXPECT_EQ(waits("jobs/a", "jobs/e"), "jobs/a");
  EXPECT_EQ(waits("jobs/d", "jobs/e"), "");  // a circle of others ends the search too
  EXPECT_EQ(waits("jobs/e", "jobs/f"), "jobs/f");  // through a task of an array
  v1::Scheduling own_array;
  own_array.add_dependencies()->set_job("jobs/array");
  EXPECT_EQ(WaitsForItself("jobs/task", own_array, jobs), "jobs/array");
}

}  // namespace
}  // namespace yoke::jobs
