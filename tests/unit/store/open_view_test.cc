#include "server/store/open_view.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace yoke::store {
namespace {

using jobs::JobRecord;
using v1::Job;

JobRecord Record(int sequence, Job::State state = Job::QUEUED) {
  JobRecord job;
  job.id = absl::StrCat("job", sequence);
  job.sequence = sequence;
  job.user_set = {"data"};
  Job& shown = job.public_job;
  shown.set_name("jobs/" + job.id);
  shown.set_state(state);
  shown.set_priority(sequence);
  shown.mutable_spec()->set_device("0");
  shown.mutable_spec()->mutable_train()->set_data("/data.yaml");
  shown.add_banner("a line");
  shown.mutable_scheduling()->set_queue("night");
  shown.mutable_progress()->set_epoch(3);
  return job;
}

std::vector<int64_t> Sequences(const OpenView& view) {
  std::vector<int64_t> sequences;
  for (const JobRecord& job : view.Open()) sequences.push_back(job.sequence);
  return sequences;
}

TEST(OpenView, ShowsWhatWasCommittedAndNothingOfWhatWasUndone) {
  OpenView view;
  view.Stage(Record(1));
  EXPECT_EQ(view.size(), 0u);
  view.Keep();
  view.Stage(Record(2));
  view.Stage(Record(1, Job::SUCCEEDED));
  view.Undo();
  view.Keep();
  EXPECT_EQ(Sequences(view), std::vector<int64_t>{1});
  view.Stage(Record(1, Job::SUCCEEDED));
  view.Keep();
  EXPECT_TRUE(view.Open().empty());
}

TEST(OpenView, IsInTheOrderOfSubmissionWhateverTheOrderOfChanges) {
  OpenView view;
  for (const int sequence : {3, 1, 2, 5, 4, 2}) view.Stage(Record(sequence));
  view.Keep();
  EXPECT_EQ(Sequences(view), (std::vector<int64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(view.size(), 5u);
}

TEST(OpenView, EndedJobsLeaveItAndOneThatCannotBeThereDoesNotMatter) {
  OpenView view;
  for (int sequence = 1; sequence <= 1000; ++sequence) view.Stage(Record(sequence));
  view.Keep();
  const jobs::OpenJobs before = view.Open();
  for (int sequence = 1; sequence <= 1000; ++sequence) {
    if (sequence % 100 != 0) view.Stage(Record(sequence, Job::FAILED));
    view.Stage(Record(5000, Job::FAILED));
    view.Keep();
  }
  EXPECT_EQ(Sequences(view), (std::vector<int64_t>{100, 200, 300, 400, 500, 600, 700, 800, 900, 1000}));
  EXPECT_EQ(before.size(), 1000u);  // what was taken does not change
  EXPECT_EQ(before.begin()->id, "job1");
}

TEST(OpenView, KeepsWhatOrdersJobsAndLeavesTheRestOut) {
  OpenView view;
  view.Stage(Record(1));
  view.Stage(Record(2, Job::RUNNING));
  view.Keep();
  const jobs::OpenJobs open = view.Open();
  const JobRecord &waits = *open.begin(), &runs = *++open.begin();
  EXPECT_EQ(waits.public_job.name(), "jobs/job1");
  EXPECT_EQ(waits.public_job.priority(), 1);
  EXPECT_EQ(waits.public_job.spec().device(), "0");
  EXPECT_EQ(waits.public_job.scheduling().queue(), "night");
  EXPECT_FALSE(waits.public_job.spec().has_train());
  EXPECT_TRUE(runs.public_job.spec().has_train());
  EXPECT_FALSE(runs.public_job.spec().train().has_data());
  for (const JobRecord& job : open) {
    EXPECT_EQ(job.public_job.banner_size(), 0);
    EXPECT_FALSE(job.public_job.has_progress());
    EXPECT_TRUE(job.user_set.empty());
  }
}

}  // namespace
}  // namespace yoke::store
