#include "server/jobs/array.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/jobs/sweep.h"

namespace yoke::jobs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using v1::Job;

v1::JobSpec Training() {
  v1::JobSpec spec;
  spec.set_device("cpu:0");
  spec.mutable_train()->set_data("/data/{index}.yaml");
  return spec;
}

void AddLr(v1::Array& array, std::initializer_list<double> values) {
  v1::SweepKey& key = *array.add_sweep();
  key.set_key("lr0");
  for (const double value : values) {
    v1::SweepValue& added = *key.add_values();
    added.set_text(absl::StrCat(value));
    added.mutable_spec()->mutable_train()->set_lr0(value);
  }
}

void AddFreeze(v1::Array& array, std::initializer_list<std::vector<int>> values) {
  v1::SweepKey& key = *array.add_sweep();
  key.set_key("freeze");
  for (const std::vector<int>& value : values) {
    v1::SweepValue& added = *key.add_values();
    added.set_text("list");
    added.mutable_spec()->mutable_train()->mutable_freeze_layers()->Assign(value.begin(),
                                                                           value.end());
  }
}

void AddRange(v1::Array& array, const std::string& name, double min, double max, bool log) {
  v1::SweepKey& key = *array.add_sweep();
  key.set_key(name);
  key.mutable_range()->set_min(min);
  key.mutable_range()->set_max(max);
  key.mutable_range()->set_log(log);
}

std::string Problem(v1::Array array) {
  std::string all;
  for (const Violation& violation : CompleteArray(Training(), 7, array))
    absl::StrAppend(&all, violation.description, "\n");
  return all;
}

TEST(Sweep, AGridHasEveryCombinationOnceAndTheLastKeyChangesFirst) {
  v1::Array array;
  AddLr(array, {0.1, 0.2});
  AddFreeze(array, {{0}, {1, 2}, {3}});
  ASSERT_THAT(CompleteArray(Training(), 7, array), IsEmpty());
  ASSERT_EQ(array.count(), 6);
  std::set<std::string> seen;
  for (int i = 0; i < 6; ++i) {
    const TaskSpec task = SpecOfTask(array, i);
    seen.insert(task.asked.SerializeAsString());
    EXPECT_EQ(task.asked.train().lr0(), i < 3 ? 0.1 : 0.2);
    EXPECT_EQ(task.asked.train().data(), absl::StrCat("/data/", i, ".yaml"));
    EXPECT_EQ(task.values[0].text(), i < 3 ? "0.1" : "0.2");
  }
  EXPECT_EQ(seen.size(), 6u);
  EXPECT_THAT(SpecOfTask(array, 4).asked.train().freeze_layers(), ElementsAre(1, 2));
}

TEST(Sweep, DrawsStayInTheirRangeAndRepeatWithTheSeed) {
  v1::Array array;
  array.set_random(true);
  array.set_count(2000);
  AddRange(array, "lr0", 1e-4, 1e-2, true);
  AddRange(array, "epochs", 1, 3, false);
  AddFreeze(array, {{0}, {1}});
  ASSERT_THAT(CompleteArray(Training(), 7, array), IsEmpty());
  EXPECT_EQ(array.seed(), 7);
  int below = 0, epochs[4] = {}, first = 0;
  for (int i = 0; i < array.count(); ++i) {
    const TaskSpec task = SpecOfTask(array, i);
    const v1::TrainSpec& train = task.asked.train();
    ASSERT_TRUE(train.lr0() >= 1e-4 && train.lr0() <= 1e-2) << train.lr0();
    ASSERT_TRUE(train.epochs() >= 1 && train.epochs() <= 3) << train.epochs();
    below += train.lr0() < 1e-3;
    ++epochs[train.epochs()];
    first += train.freeze_layers(0) == 0;
    EXPECT_EQ(task.asked.SerializeAsString(), SpecOfTask(array, i).asked.SerializeAsString());
  }
  // 5 standard deviations of 2000 fair draws.
  EXPECT_NEAR(below, 1000, 112);
  EXPECT_NEAR(first, 1000, 112);
  for (int epoch = 1; epoch <= 3; ++epoch) EXPECT_NEAR(epochs[epoch], 667, 106);
  v1::Array other = array;
  other.set_seed(8);
  EXPECT_NE(SpecOfTask(other, 0).asked.train().lr0(), SpecOfTask(array, 0).asked.train().lr0());
}

TEST(Sweep, WhatCannotBeIsRefusedWithoutLookingAtEveryTask) {
  v1::Array array;
  EXPECT_THAT(Problem(array), HasSubstr("an array of 0 tasks; it takes 1 to 100000"));
  array.set_count(kTasksMax + 1);
  EXPECT_THAT(Problem(array), HasSubstr("at most 100000 tasks"));
  array.set_count(10);
  array.set_first(-1);
  EXPECT_THAT(Problem(array), HasSubstr("indices run from 0"));
  array = {};
  AddLr(array, {0.1, 99});
  EXPECT_THAT(Problem(array), HasSubstr("lr0=99 is out of range"));
  array = {};
  AddLr(array, {0.1});
  AddLr(array, {0.2});
  EXPECT_THAT(Problem(array), HasSubstr("lr0 is swept twice"));
  array = {};
  AddLr(array, {0.1, 0.2});
  array.set_count(3);
  EXPECT_THAT(Problem(array), HasSubstr("the sweep has 2 combinations, not 3"));
  array = {};
  AddRange(array, "lr0", 1e-4, 1e-2, true);
  EXPECT_THAT(Problem(array), HasSubstr("only a random sweep draws from a range"));
  array.set_random(true);
  array.set_count(5);
  EXPECT_EQ(Problem(array), "");
  array.mutable_sweep(0)->mutable_range()->set_min(0);
  EXPECT_THAT(Problem(array), HasSubstr("above 0 where the scale is logarithmic"));
  array.mutable_sweep(0)->set_key("data");
  array.mutable_sweep(0)->mutable_range()->set_log(false);
  EXPECT_THAT(Problem(array), HasSubstr("data is no number"));
  array.mutable_sweep(0)->set_key("nonsense");
  EXPECT_THAT(Problem(array), HasSubstr("'nonsense' is no key of train"));
  array = {};
  AddLr(array, {0.1});
  array.mutable_sweep(0)->mutable_values(0)->mutable_spec()->mutable_train()->set_epochs(3);
  EXPECT_THAT(Problem(array), HasSubstr("must set this key and nothing else"));
  array = {};
  for (int i = 0; i < 3; ++i) {
    AddRange(array, i == 0 ? "lr0" : i == 1 ? "lrf" : "box", 0, 1, false);
    array.mutable_sweep(i)->clear_range();
    for (int n = 0; n < 100; ++n) {
      v1::SweepValue& value = *array.mutable_sweep(i)->add_values();
      value.set_text("x");
      v1::TrainSpec& train = *value.mutable_spec()->mutable_train();
      i == 0 ? train.set_lr0(0.1) : i == 1 ? train.set_lrf(0.1) : train.set_box(1);
    }
  }
  EXPECT_THAT(Problem(array), HasSubstr("at most 100000 tasks"));  // a million combinations
}

// Lives through it as the store does.
class Array : public testing::Test {
 protected:
  Array() {
    state_.array.id = "arry";
    Job& job = state_.array.public_job;
    job.set_name("jobs/arry");
    job.set_state(Job::QUEUED);
    job.set_display_name("night");
    job.mutable_scheduling()->add_dependencies()->set_job("jobs/before");
    job.mutable_array()->set_first(5);
    job.mutable_array()->set_count(4);
    CompleteArray(Training(), 1, *job.mutable_array());
  }
  template <typename Edit>
  absl::Status Change(Edit edit) {
    ArrayWithTasks after = state_;
    const absl::Status status = edit(after);
    if (!status.ok()) return status;
    FollowTasks(state_, absl::Now(), after);
    for (JobRecord& task : after.added) after.tasks.push_back(std::move(task));
    after.added.clear();
    state_ = std::move(after);
    return status;
  }
  absl::Status Make(int most) {
    return Change([&](ArrayWithTasks& change) {
      return MakeTasks(
          most, absl::Now(), [&] { return absl::StrCat("task", ++ids_); }, change);
    });
  }
  void Move(size_t task, Job::State state) {
    Job& job = state_.tasks[task].public_job;
    const Job::State before = job.state();
    job.set_state(state);
    FollowTask(before, state, absl::Now(), state_.array);
  }
  Job::State State() const { return state_.array.public_job.state(); }
  const v1::Array& Counts() const { return state_.array.public_job.array(); }

  ArrayWithTasks state_;
  int ids_ = 0;
};

TEST_F(Array, TasksAreMadeInOrderAndOnceAndKnowTheirPlace) {
  ASSERT_TRUE(Make(3).ok());
  EXPECT_EQ(State(), Job::RUNNING);
  ASSERT_TRUE(Make(3).ok());
  ASSERT_EQ(state_.tasks.size(), 4u);
  for (int i = 0; i < 4; ++i) {
    const Job& task = state_.tasks[static_cast<size_t>(i)].public_job;
    EXPECT_EQ(task.array_index(), 5 + i);
    EXPECT_EQ(task.array_job(), "jobs/arry");
    EXPECT_EQ(task.display_name(), absl::StrCat("night[", 5 + i, "]"));
    EXPECT_EQ(task.spec().train().data(), absl::StrCat("/data/", 5 + i, ".yaml"));
    EXPECT_EQ(task.spec().train().epochs(), 100);  // resolved
    EXPECT_EQ(task.scheduling().dependencies_size(), 0);
  }
  EXPECT_EQ(Counts().queued(), 4);
  ASSERT_TRUE(Make(1).ok());
  EXPECT_EQ(state_.tasks.size(), 4u);
}

TEST_F(Array, EndsAsItsTasksDo) {
  ASSERT_TRUE(Make(4).ok());
  for (size_t i = 0; i < 4; ++i) Move(i, Job::RUNNING);
  EXPECT_EQ(Counts().running(), 4);
  Move(0, Job::SUCCEEDED);
  Move(1, Job::TIMED_OUT);
  Move(2, Job::CANCELLED);
  EXPECT_EQ(State(), Job::RUNNING);
  Move(3, Job::SUCCEEDED);
  EXPECT_EQ(State(), Job::FAILED);
  EXPECT_EQ(state_.array.public_job.reason(), v1::JobReason::TASK_FAILED);
  EXPECT_EQ(state_.array.public_job.message(), "1 of 4 tasks failed.");
  EXPECT_EQ(Make(1).GetPayload("yoke.reason"), absl::Cord("JOB_ENDED"));
}

TEST_F(Array, ACancelledOneMakesNoMoreAndEndsWithItsLastTask) {
  ASSERT_TRUE(Make(2).ok());
  Move(0, Job::RUNNING);
  ASSERT_TRUE(Change([](ArrayWithTasks& change) {
                return StopArray({kStopCancel, 5, "", ""}, absl::Now(), change);
              }).ok());
  EXPECT_EQ(State(), Job::STOPPING);
  EXPECT_EQ(state_.tasks[0].public_job.state(), Job::STOPPING);
  EXPECT_EQ(state_.tasks[0].stop_grace_seconds, 5);
  EXPECT_EQ(state_.tasks[1].public_job.state(), Job::CANCELLED);
  EXPECT_FALSE(Make(1).ok());
  EXPECT_FALSE(Change(HoldArray).ok());
  Move(0, Job::CANCELLED);
  EXPECT_EQ(State(), Job::CANCELLED);
}

TEST_F(Array, OneThatWasAskedToStopAndSucceedsNevertheless) {
  ASSERT_TRUE(Make(4).ok());
  for (size_t i = 0; i < 4; ++i) Move(i, Job::RUNNING);
  ASSERT_TRUE(Change([](ArrayWithTasks& change) {
                return StopArray({kStopCancel, 5, "", ""}, absl::Now(), change);
              }).ok());
  for (size_t i = 0; i < 4; ++i) Move(i, Job::SUCCEEDED);
  EXPECT_EQ(State(), Job::SUCCEEDED);
}

TEST_F(Array, HoldAndReleaseReachWaitingTasksAndTheOnesToCome) {
  ASSERT_TRUE(Change(HoldArray).ok());
  EXPECT_EQ(State(), Job::HELD);
  EXPECT_FALSE(Make(1).ok());
  ASSERT_TRUE(Change(ReleaseArray).ok());
  EXPECT_EQ(State(), Job::QUEUED);
  ASSERT_TRUE(Make(2).ok());
  Move(0, Job::RUNNING);
  ASSERT_TRUE(Change(HoldArray).ok());
  EXPECT_EQ(state_.tasks[0].public_job.state(), Job::RUNNING);
  EXPECT_EQ(state_.tasks[1].public_job.state(), Job::HELD);
  Move(0, Job::SUCCEEDED);
  EXPECT_EQ(State(), Job::HELD);
  ASSERT_TRUE(Change(ReleaseArray).ok());
  EXPECT_EQ(state_.tasks[1].public_job.state(), Job::QUEUED);
  EXPECT_EQ(State(), Job::RUNNING);
}

TEST_F(Array, AnUpdateReachesTasksAndAnArrayIsNotRequeued) {
  ASSERT_TRUE(Make(1).ok());
  Job wanted;
  wanted.set_priority(9);
  wanted.set_display_name("day");
  ASSERT_TRUE(Change([&](ArrayWithTasks& change) {
                return UpdateArrayFields(wanted, {"priority", "display_name"}, change);
              }).ok());
  EXPECT_EQ(state_.array.public_job.priority(), 9);
  EXPECT_EQ(state_.tasks[0].public_job.priority(), 9);
  EXPECT_EQ(state_.tasks[0].public_job.display_name(), "night[5]");
  EXPECT_FALSE(Change([&](ArrayWithTasks& change) {
                 return UpdateArrayFields(wanted, {"scheduling.queue"}, change);
               }).ok());
  EXPECT_EQ(StopAttempt(state_.array, {kStopRequeue, 5, "", ""}).GetPayload("yoke.reason"),
            absl::Cord("JOB_IS_ARRAY"));
}

TEST_F(Array, ATaskWhoseValuesDoNotGoTogetherFailsByItself) {
  state_.array.public_job.mutable_array()->mutable_asked()->mutable_train()->set_lr0(99);
  ASSERT_TRUE(Make(1).ok());
  EXPECT_EQ(state_.tasks[0].public_job.state(), Job::FAILED);
  EXPECT_EQ(state_.tasks[0].public_job.reason(), v1::JobReason::BAD_INPUT);
  EXPECT_EQ(Counts().failed(), 1);
}

}  // namespace
}  // namespace yoke::jobs
