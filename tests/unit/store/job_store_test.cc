#include "server/store/job_store_sqlite.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/jobs/ids.h"

namespace yoke::store {
namespace {

using jobs::JobRecord;
using jobs::JobStore;
using v1::Job;

class Store : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "yoke-store.XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
    options_.path = folder_ + "/yoke.db";
    Open();
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Open() {
    store_.reset();
    auto store = OpenJobStore(options_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
  }
  static JobRecord NewJob(const std::string& owner = "ann") {
    JobRecord job;
    job.id = jobs::NewJobId();
    job.user_set = {"batch", "data"};
    job.public_job.set_state(Job::QUEUED);
    job.public_job.set_owner(owner);
    job.public_job.mutable_spec()->set_device("0");
    return job;
  }
  std::string Add(const std::string& owner = "ann") { return store_->Create(NewJob(owner))->id; }
  absl::Status SetState(const std::string& id, Job::State state) {
    return store_->Update(id, [state](JobRecord& job, JobStore::LeaseChange&) {
                     job.public_job.set_state(state);
                     return absl::OkStatus();
                   }).status();
  }
  absl::Status Take(const std::string& id, const std::string& uuid) {
    return store_->Update(id, [&](JobRecord& job, JobStore::LeaseChange& leases) {
                     job.public_job.set_state(Job::STARTING);
                     leases.take = {uuid};
                     return absl::OkStatus();
                   }).status();
  }

  std::string folder_;
  StoreOptions options_;
  std::unique_ptr<JobStore> store_;
};

TEST_F(Store, WhatWasCreatedIsThereAfterAReopen) {
  JobRecord job = NewJob();
  job.uid = 7;
  const std::string id = store_->Create(job)->id;
  Open();
  const JobRecord found = store_->Get(id).value();
  EXPECT_EQ(found.public_job.name(), "jobs/" + id);
  EXPECT_EQ(found.public_job.spec().device(), "0");
  EXPECT_EQ(found.user_set, (std::vector<std::string>{"batch", "data"}));
  EXPECT_EQ(found.uid, 7);
  EXPECT_EQ(found.sequence, 1);
  EXPECT_FALSE(found.public_job.etag().empty());
}

TEST_F(Store, FindsByUniquePrefix) {
  const std::string id = Add();
  EXPECT_EQ(store_->Get(id.substr(0, 6))->id, id);
  EXPECT_EQ(store_->Get("zzzzzz").status().code(), absl::StatusCode::kNotFound);
  JobRecord twin = NewJob();
  twin.id = id.substr(0, 25) + (id[25] == 'a' ? "b" : "a");
  ASSERT_TRUE(store_->Create(twin).ok());
  EXPECT_EQ(store_->Get(id.substr(0, 25)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->Get(id)->id, id);
}

TEST_F(Store, TheSameRequestGivesTheSameJobAndAnotherBodyIsRefused) {
  JobRecord job = NewJob();
  job.request_id = "r1";
  job.request_hash = "h1";
  const std::string id = store_->Create(job)->id;
  JobRecord again = job;
  again.id = jobs::NewJobId();
  EXPECT_EQ(store_->Create(again)->id, id);
  EXPECT_EQ(store_->List({}, 10, "")->jobs.size(), 1u);
  again.request_hash = "h2";
  const absl::Status refused = store_->Create(again).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("REQUEST_ID_REUSED"), absl::string_view::npos);
  again.public_job.set_owner("bob");
  EXPECT_TRUE(store_->Create(again).ok());  // ids belong to their owner
}

TEST_F(Store, ABatchIsOneChangeOfTheWholeAndKeepsItsOrder) {
  std::atomic<int> told = 0;
  store_->SetListener([&](bool) { ++told; });
  std::vector<JobRecord> batch;
  for (int i = 0; i < 300; ++i) batch.push_back(NewJob());
  const std::vector<JobRecord> created = store_->CreateAll(batch).value();
  store_->SetListener(nullptr);
  EXPECT_EQ(told, 1);
  ASSERT_EQ(created.size(), 300u);
  for (size_t i = 0; i < created.size(); ++i) EXPECT_EQ(created[i].sequence, static_cast<int64_t>(i) + 1);
  Open();
  EXPECT_EQ(store_->ListOpen()->size(), 300u);
}

TEST_F(Store, ABatchWithARefusedJobLeavesNothingAndNamesIt) {
  JobRecord known = NewJob();
  known.request_id = "r1";
  known.request_hash = "h1";
  const std::string id = store_->Create(known)->id;
  std::vector<JobRecord> batch = {NewJob(), NewJob(), known, NewJob()};
  batch[2].id = jobs::NewJobId();
  batch[2].request_hash = "h2";
  const absl::Status refused = store_->CreateAll(batch).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.GetPayload(jobs::kIndexPayload), absl::Cord("2"));
  EXPECT_EQ(store_->ListOpen()->size(), 1u);
  Open();  // nor does the journal have any of it
  EXPECT_EQ(store_->ListOpen()->size(), 1u);
  batch[2].request_hash = "h1";
  const std::vector<JobRecord> created = store_->CreateAll(batch).value();
  EXPECT_EQ(created[2].id, id);
  EXPECT_EQ(store_->ListOpen()->size(), 4u);
}

TEST_F(Store, ChangesMadeTogetherAreAllDoneEvenIfTheLastIsRefused) {
  for (int i = 0; i < 50; ++i) {
    const std::string kept = Add();
    const auto answers = store_->UpdateEach(
        {{kept, [](JobRecord& job, jobs::JobStore::LeaseChange&) { return job.public_job.set_priority(7), absl::OkStatus(); }},
         {kept, [](JobRecord&, jobs::JobStore::LeaseChange&) { return absl::AbortedError("no"); }}},
        jobs::Until::kDurable);
    ASSERT_EQ(answers.size(), 2u);
    EXPECT_EQ(answers[0]->public_job.priority(), 7);
    EXPECT_TRUE(absl::IsAborted(answers[1].status()));
  }
}

TEST_F(Store, PagesAreNewestFirstAndFiltered) {
  for (int i = 0; i < 5; ++i) Add(i % 2 == 0 ? "ann" : "bob");
  const jobs::Page first = store_->List({}, 3, "").value();
  ASSERT_EQ(first.jobs.size(), 3u);
  EXPECT_EQ(first.jobs[0].sequence, 5);
  Add();  // does not shift the next page
  const jobs::Page second = store_->List({}, 3, first.next_page_token).value();
  ASSERT_EQ(second.jobs.size(), 2u);
  EXPECT_EQ(second.jobs[1].sequence, 1);
  EXPECT_TRUE(second.next_page_token.empty());
  jobs::JobFilter filter;
  filter.owner = "bob";
  filter.states = {Job::QUEUED};
  EXPECT_EQ(store_->List(filter, 10, "")->jobs.size(), 2u);
  filter.states = {Job::RUNNING, Job::FAILED};
  EXPECT_TRUE(store_->List(filter, 10, "")->jobs.empty());
  EXPECT_FALSE(store_->List({}, 10, "x").ok());
}

TEST_F(Store, ARefusedChangeWritesNothing) {
  const std::string id = Add();
  const int64_t before = store_->last_event_sequence();
  const auto refused = store_->Update(id, [](JobRecord& job, JobStore::LeaseChange&) {
    job.public_job.set_state(Job::FAILED);
    return absl::AbortedError("no");
  });
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(store_->Get(id)->public_job.state(), Job::QUEUED);
  EXPECT_EQ(store_->last_event_sequence(), before);
}

TEST_F(Store, ADeviceIsLeasedOnceAndTheLoserChangesNothing) {
  const std::string a = Add(), b = Add();
  ASSERT_TRUE(Take(a, "GPU-1").ok());
  const absl::Status second = Take(b, "GPU-1");
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_->Get(b)->public_job.state(), Job::QUEUED);
  Open();
  ASSERT_EQ(store_->ListLeases()->size(), 1u);
  EXPECT_EQ(store_->ListLeases()->front().job_id, a);
}

TEST_F(Store, AQuarantinedDeviceStaysTakenUntilReleased) {
  const std::string a = Add();
  ASSERT_TRUE(Take(a, "GPU-1").ok());
  ASSERT_TRUE(store_->Update(a, [](JobRecord&, JobStore::LeaseChange& leases) {
                      leases.quarantine = {"GPU-1"};
                      leases.quarantine_reason = "process 7";
                      return absl::OkStatus();
                    }).ok());
  EXPECT_TRUE(store_->ListLeases()->front().quarantined);
  EXPECT_EQ(store_->ListLeases()->front().quarantine_reason, "process 7");
  EXPECT_FALSE(Take(Add(), "GPU-1").ok());
  ASSERT_TRUE(store_->Update(a, [](JobRecord&, JobStore::LeaseChange& leases) {
                      leases.release = {"GPU-1"};
                      return absl::OkStatus();
                    }).ok());
  EXPECT_TRUE(store_->ListLeases()->empty());
}

TEST_F(Store, OpenJobsAreThoseThatHaveNotEnded) {
  const std::string a = Add(), b = Add(), c = Add();
  ASSERT_TRUE(SetState(a, Job::SUCCEEDED).ok());
  ASSERT_TRUE(SetState(c, Job::RUNNING).ok());
  const std::vector<JobRecord> open = store_->ListOpen().value();
  ASSERT_EQ(open.size(), 2u);
  EXPECT_EQ(open[0].id, b);
  EXPECT_EQ(open[1].id, c);
}

TEST_F(Store, EventsAreInOrderAndNoneIsMissedAfterAList) {
  const std::string id = Add();
  const jobs::Page page = store_->List({}, 10, "").value();
  ASSERT_TRUE(SetState(id, Job::STARTING).ok());
  ASSERT_TRUE(SetState(id, Job::RUNNING).ok());
  const std::vector<jobs::JobEvent> events = store_->Events(page.event_sequence, 100, absl::ZeroDuration()).value();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].job.state(), Job::STARTING);
  EXPECT_EQ(events[1].job.state(), Job::RUNNING);
  EXPECT_EQ(events[1].sequence, store_->last_event_sequence());
}

TEST_F(Store, AWatcherWakesForTheNextEvent) {
  const std::string id = Add();
  std::thread writer([&] {
    absl::SleepFor(absl::Milliseconds(30));
    EXPECT_TRUE(SetState(id, Job::STARTING).ok());
  });
  const absl::Time began = absl::Now();
  EXPECT_EQ(store_->Events(store_->last_event_sequence(), 10, absl::Seconds(10))->size(), 1u);
  EXPECT_LT(absl::Now() - began, absl::Seconds(5));
  writer.join();
}

TEST_F(Store, EventsTooOldToBeKeptAreOutOfRange) {
  options_.events_kept = 10;
  Open();
  const std::string id = Add();
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(SetState(id, Job::QUEUED).ok());
  EXPECT_EQ(store_->Events(0, 10, absl::ZeroDuration()).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(store_->Events(store_->last_event_sequence() + 1, 10, absl::ZeroDuration()).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(store_->Events(store_->last_event_sequence() - 3, 10, absl::ZeroDuration())->size(), 3u);
}

TEST_F(Store, TellsWhetherAPlanCouldBeAnother) {
  std::atomic<int> told = 0, planned = 0;
  store_->SetListener([&](bool plan) {
    ++told;
    planned += plan ? 1 : 0;
  });
  const auto change = [&](const std::string& id, const std::function<void(JobRecord&, JobStore::LeaseChange&)>& edit) {
    const int before = planned, heard = told;
    EXPECT_TRUE(store_->Update(id, [&](JobRecord& job, JobStore::LeaseChange& leases) {
      edit(job, leases);
      return absl::OkStatus();
    }).ok());
    for (int i = 0; i < 500 && told == heard; ++i) absl::SleepFor(absl::Milliseconds(10));
    EXPECT_EQ(told, heard + 1);
    return planned - before;
  };
  const std::string id = Add();
  EXPECT_EQ(planned, 1);
  EXPECT_EQ(change(id, [](JobRecord& job, auto&) { job.public_job.set_message("waits for GPU 1"); }), 0);
  EXPECT_EQ(change(id, [](JobRecord& job, auto&) { job.public_job.mutable_progress()->set_done(7); }), 0);
  EXPECT_EQ(change(id, [](JobRecord& job, auto&) { job.public_job.set_priority(7); }), 1);
  EXPECT_EQ(change(id, [](JobRecord& job, auto&) { job.public_job.mutable_scheduling()->set_queue("night"); }), 1);
  EXPECT_EQ(change(id, [](JobRecord& job, auto&) { job.stop_requested = true; }), 1);
  EXPECT_EQ(change(id, [](JobRecord&, JobStore::LeaseChange& leases) { leases.take = {"GPU-1"}; }), 1);
  EXPECT_EQ(change(id, [](JobRecord&, JobStore::LeaseChange& leases) { leases.release = {"GPU-1"}; }), 1);
  store_->SetListener(nullptr);
}

TEST_F(Store, DoesNotTellOfAChangeThatWasRefused) {
  const std::string holder = Add(), late = Add();
  const auto take = [&](const std::string& id) {
    return store_->Update(id, [](JobRecord&, JobStore::LeaseChange& leases) {
      leases.take = {"GPU-1"};
      return absl::OkStatus();
    });
  };
  ASSERT_TRUE(take(holder).ok());
  std::atomic<int> told = 0;
  store_->SetListener([&](bool) { ++told; });
  EXPECT_EQ(take(late).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(told, 0);
  EXPECT_TRUE(store_->Update(late, [](JobRecord&, JobStore::LeaseChange&) { return absl::OkStatus(); }).ok());
  store_->SetListener(nullptr);
  EXPECT_EQ(told, 1);
}

TEST_F(Store, ManyWritersAtOnceGetOneSequenceEach) {
  std::atomic<int> told = 0;
  store_->SetListener([&](bool) { ++told; });
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) EXPECT_TRUE(store_->Create(NewJob()).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  store_->SetListener(nullptr);
  EXPECT_EQ(store_->ListOpen()->back().sequence, 400);
  EXPECT_EQ(store_->last_event_sequence(), 400);
  EXPECT_GT(told, 0);
  EXPECT_LE(told, 400);
}

}  // namespace
}  // namespace yoke::store
