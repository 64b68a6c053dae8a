// JobService: create, get, list, cancel, wait.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/integration/service/server.h"

namespace yoke::service {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Jobs : public ApiTest {
 protected:
  grpc::Status Create(const v1::CreateJobRequest& request, v1::Job* job) {
    grpc::ClientContext context;
    return jobs_->CreateJob(&context, request, job);
  }
  grpc::Status GetByName(const std::string& name, v1::Job* job) {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_name(name);
    return jobs_->GetJob(&context, request, job);
  }
  grpc::Status List(const v1::ListJobsRequest& request, v1::ListJobsResponse* response) {
    grpc::ClientContext context;
    return jobs_->ListJobs(&context, request, response);
  }
  v1::ListJobsResponse ListFor(const std::string& filter) {
    v1::ListJobsRequest request;
    request.set_filter(filter);
    v1::ListJobsResponse response;
    const grpc::Status status = List(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
};

TEST_F(Jobs, AJobIsAcceptedRunsAndIsFoundByItsPrefix) {
  Script(R"({"run_for": 0.2})");
  Start();
  v1::CreateJobRequest request = Training("0,1");
  request.set_display_name("night");
  request.set_request_id(Uuid('1'));
  v1::Job job;
  const grpc::Status status = Create(request, &job);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(job.state(), v1::Job::QUEUED);
  EXPECT_EQ(job.owner(), "ann");
  EXPECT_EQ(job.spec().train().epochs(), 100);
  EXPECT_THAT(job.device_uuids(), ElementsAre("cpu:0", "cpu:1"));
  EXPECT_TRUE(job.has_create_time());
  EXPECT_FALSE(job.etag().empty());
  const std::string id = job.name().substr(5);
  const v1::Job ended = WaitForEnd(id);
  EXPECT_EQ(ended.state(), v1::Job::SUCCEEDED) << ended.ShortDebugString();
  v1::Job found;
  EXPECT_TRUE(GetByName("jobs/" + id.substr(0, 8), &found).ok());
  EXPECT_EQ(found.name(), job.name());
  EXPECT_TRUE(GetByName(id, &found).ok());
}

TEST_F(Jobs, WhatIsNotThereIsNotFoundAndWhatIsNoNameIsRefused) {
  Start();
  v1::Job job;
  const grpc::Status none = GetByName("jobs/aaaaaaaaaaaaaaaaaaaaaaaaaa", &job);
  EXPECT_EQ(none.error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(Reason(none), "JOB_NOT_FOUND");
  for (const char* name :
       {"", "jobs/", "jobs/x", "jobs/../../etc", "jobs/AAAAAAAA", "devices/abcd"}) {
    const grpc::Status refused = GetByName(name, &job);
    EXPECT_EQ(refused.error_code(), grpc::INVALID_ARGUMENT) << name;
    EXPECT_EQ(Reason(refused), "JOB_NAME_INVALID") << name;
  }
}

TEST_F(Jobs, TheSameRequestAgainIsTheSameJobAndAnotherIsRefused) {
  Start();
  v1::CreateJobRequest request = Training("0");
  request.set_request_id(Uuid('a'));
  v1::Job first, again;
  ASSERT_TRUE(Create(request, &first).ok());
  ASSERT_TRUE(Create(request, &again).ok());
  EXPECT_EQ(first.name(), again.name());
  EXPECT_EQ(ListFor("").jobs_size(), 1);
  request.set_priority(3);
  const grpc::Status reused = Create(request, &again);
  EXPECT_EQ(reused.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Reason(reused), "REQUEST_ID_REUSED");
  EXPECT_THAT(Fields(reused), ElementsAre("request_id"));
}

TEST_F(Jobs, OneRequestFromManyThreadsIsOneJob) {
  Start();
  v1::CreateJobRequest request = Training("0");
  request.set_request_id(Uuid('b'));
  std::vector<std::thread> threads;
  std::vector<v1::Job> answers(8);
  for (v1::Job& answer : answers) {
    threads.emplace_back([&] { EXPECT_TRUE(Create(request, &answer).ok()); });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> names;
  for (const v1::Job& answer : answers) names.insert(answer.name());
  EXPECT_EQ(names.size(), 1u);
}

TEST_F(Jobs, ValidateOnlyAsksTheWorkerAndStoresNothing) {
  Script(
      R"({"prepare": {"lines": ["{\"ok\":true,\"banner\":[\"Data: 9 images\"],\"warnings\":[\"a.jpg is cut off\"]}"]}})");
  Start();
  v1::CreateJobRequest request = Training("0,1");
  request.mutable_spec()->mutable_train()->set_imgsz(70);
  request.set_validate_only(true);
  v1::Job plan;
  const grpc::Status status = Create(request, &plan);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(plan.name(), "");
  EXPECT_EQ(plan.spec().train().imgsz(), 96);
  EXPECT_THAT(plan.banner(), testing::Contains("Data: 9 images"));
  EXPECT_THAT(plan.banner(), testing::Contains("Method: DDP (gloo)"));
  EXPECT_THAT(plan.warnings(), ElementsAre(HasSubstr("rounded up to 96"), "a.jpg is cut off"));
  EXPECT_EQ(ListFor("").jobs_size(), 0);
  EXPECT_TRUE(std::filesystem::is_empty(config_.state + "/jobs"));
}

TEST_F(Jobs, WhatTheWorkerRefusesIsTheAnswer) {
  Script(
      R"({"prepare": {"exit_code": 10, "lines": ["{\"ok\":false,\"reason\":\"BAD_INPUT\",\"message\":\"/d/a.txt:3: NaN\"}"]}})");
  Start();
  v1::CreateJobRequest request = Training("0");
  request.set_validate_only(true);
  v1::Job plan;
  const grpc::Status refused = Create(request, &plan);
  EXPECT_EQ(refused.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(refused.error_message(), "/d/a.txt:3: NaN");
  EXPECT_EQ(Reason(refused), "BAD_INPUT");
}

TEST_F(Jobs, BadDevicesAndKeysAreNamedByField) {
  UseGpus();
  Start();
  v1::Job job;
  const grpc::Status device = Create(Training("5"), &job);
  EXPECT_EQ(device.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(device.error_message(), StartsWith("GPU 5 not available. Only 4 GPU(s) detected."));
  EXPECT_EQ(Reason(device), "DEVICE_NOT_AVAILABLE");
  EXPECT_THAT(Fields(device), ElementsAre("device"));
  v1::CreateJobRequest request = Training("0");
  request.mutable_spec()->mutable_train()->set_epochs(0);
  request.mutable_spec()->mutable_train()->clear_data();
  const grpc::Status keys = Create(request, &job);
  EXPECT_EQ(Reason(keys), "SPEC_INVALID");
  EXPECT_THAT(Fields(keys), testing::UnorderedElementsAre("train.data", "train.epochs"));
  EXPECT_EQ(ListFor("").jobs_size(), 0);
}

TEST_F(Jobs, AFullQueueIsRefusedUntilThereIsRoom) {
  facts_.queue_length_max = 2;
  Script(R"({"run_for": 60})");
  Start();
  const std::string first = Submit("0");
  Submit("0");
  v1::Job job;
  const grpc::Status full = Create(Training("0"), &job);
  EXPECT_EQ(full.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Reason(full), "QUEUE_FULL");
  ASSERT_TRUE(Cancel(first).ok());
  WaitForEnd(first);
  EXPECT_TRUE(Create(Training("0"), &job).ok());
}

TEST_F(Jobs, PagesHoldEveryJobOnceNewestFirst) {
  Script(R"({"run_for": 60})");
  Start();
  std::vector<std::string> submitted;
  for (int i = 0; i < 7; ++i) submitted.push_back("jobs/" + Submit("0"));
  std::vector<std::string> listed;
  v1::ListJobsRequest request;
  request.set_page_size(3);
  for (int page = 0; page < 3; ++page) {
    v1::ListJobsResponse response;
    ASSERT_TRUE(List(request, &response).ok());
    EXPECT_EQ(response.jobs_size(), page < 2 ? 3 : 1);
    EXPECT_EQ(response.next_page_token().empty(), page == 2);
    for (const v1::Job& job : response.jobs()) listed.push_back(job.name());
    request.set_page_token(response.next_page_token());
    // Newer ones do not move what follows.
    if (page == 0) Submit("0");
  }
  std::reverse(submitted.begin(), submitted.end());
  EXPECT_EQ(listed, submitted);
  request.set_page_token("'; DROP TABLE job");
  v1::ListJobsResponse response;
  const grpc::Status refused = List(request, &response);
  EXPECT_EQ(refused.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Reason(refused), "PAGE_TOKEN_INVALID");
  request.set_page_size(-1);
  EXPECT_EQ(List(request, &response).error_code(), grpc::INVALID_ARGUMENT);
}

TEST_F(Jobs, APageOfLongJobsIsShorterThanAsked) {
  Start();
  v1::CreateJobRequest request;
  for (int i = 0; i < 1500; ++i)
    request.mutable_spec()->mutable_label()->add_source("/pictures/" + std::string(500, 'x') +
                                                        std::to_string(i));
  request.mutable_spec()->mutable_label()->add_model("/best.pt");
  request.mutable_spec()->mutable_label()->set_out("/labels");
  request.mutable_spec()->set_device("0");
  for (int i = 0; i < 8; ++i) {
    v1::Job job;
    const grpc::Status status = Create(request, &job);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  v1::ListJobsRequest list;
  int seen = 0, pages = 0;
  do {
    v1::ListJobsResponse response;
    const grpc::Status status = List(list, &response);
    ASSERT_TRUE(status.ok())
        << status.error_message();  // a page beyond gRPC's 4 MiB would be an error here
    seen += response.jobs_size();
    ++pages;
    list.set_page_token(response.next_page_token());
  } while (!list.page_token().empty() && pages < 10);
  EXPECT_EQ(seen, 8);
  EXPECT_GT(pages, 1);
}

TEST_F(Jobs, FiltersByStateOwnerAndName) {
  Script(R"({"run_for": 60})");
  Start();
  const std::string runs = Submit("0");
  v1::CreateJobRequest request = Training("0");
  request.set_display_name("night \"run\"");
  v1::Job waits;
  ASSERT_TRUE(Create(request, &waits).ok());
  WaitForState(runs, v1::Job::RUNNING);
  EXPECT_EQ(ListFor("state = RUNNING").jobs_size(), 1);
  EXPECT_EQ(ListFor("state = RUNNING OR state = QUEUED AND owner = \"ann\"").jobs_size(), 2);
  EXPECT_EQ(ListFor("owner = \"bob\"").jobs_size(), 0);
  EXPECT_EQ(ListFor("state = RUNNING AND state = QUEUED").jobs_size(), 0);
  const v1::ListJobsResponse named = ListFor(R"(display_name = "night \"run\"")");
  ASSERT_EQ(named.jobs_size(), 1);
  EXPECT_EQ(named.jobs(0).name(), waits.name());
  v1::ListJobsRequest list;
  list.set_filter("state = SLEEPING");
  v1::ListJobsResponse response;
  const grpc::Status refused = List(list, &response);
  EXPECT_EQ(refused.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Reason(refused), "FILTER_INVALID");
}

TEST_F(Jobs, CancelAnswersAtOnceAndOnlyOnceAJobHasEndedItIsRefused) {
  Script(R"({"run_for": 60})");
  Start();
  const std::string id = Submit("0"), waiting = Submit("0");
  WaitForState(id, v1::Job::RUNNING);
  v1::Job job;
  ASSERT_TRUE(Cancel(waiting, &job).ok());
  EXPECT_EQ(job.state(), v1::Job::CANCELLED);
  ASSERT_TRUE(Cancel(id, &job).ok());
  EXPECT_EQ(job.state(), v1::Job::STOPPING);
  EXPECT_EQ(WaitForEnd(id).state(), v1::Job::CANCELLED);
  const grpc::Status late = Cancel(id);
  EXPECT_EQ(late.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(Reason(late), "JOB_ENDED");
  grpc::ClientContext context;
  v1::CancelJobRequest request;
  request.set_name("jobs/" + id);
  request.mutable_grace()->set_seconds(4000);
  EXPECT_EQ(jobs_->CancelJob(&context, request, &job).error_code(), grpc::INVALID_ARGUMENT);
}

TEST_F(Jobs, WaitGivesUpAfterItsTimeoutAndHearsTheEndAtOnce) {
  Script(R"({"run_for": 60})");
  Start();
  const std::string id = Submit("0");
  v1::WaitJobRequest request;
  request.set_name(id);
  request.mutable_timeout()->set_nanos(200'000'000);
  v1::Job job;
  {
    grpc::ClientContext context;
    const absl::Time start = absl::Now();
    const grpc::Status late = jobs_->WaitJob(&context, request, &job);
    EXPECT_EQ(late.error_code(), grpc::DEADLINE_EXCEEDED);
    EXPECT_EQ(Reason(late), "WAIT_TIMEOUT");
    EXPECT_LT(absl::Now() - start, absl::Seconds(2));
  }
  WaitForState(id, v1::Job::RUNNING);
  absl::Time heard;
  std::thread waiter([&] {
    grpc::ClientContext context;
    request.mutable_timeout()->set_seconds(20);
    EXPECT_TRUE(jobs_->WaitJob(&context, request, &job).ok());
    heard = absl::Now();
  });
  ASSERT_TRUE(Cancel(id).ok());
  while (Get(id).state() != v1::Job::CANCELLED) absl::SleepFor(absl::Milliseconds(2));
  const absl::Time ended = absl::Now();
  waiter.join();
  EXPECT_EQ(job.state(), v1::Job::CANCELLED);
  EXPECT_LT(heard - ended, absl::Milliseconds(200));  // woken, not by looking every half second
}

TEST_F(Jobs, AWaitEndsWhenTheDaemonStops) {
  Script(R"({"run_for": 60})");
  Start();
  const std::string id = Submit("0");
  WaitForState(id, v1::Job::RUNNING);
  grpc::Status status;
  std::thread waiter([&] {
    grpc::ClientContext context;
    v1::WaitJobRequest request;
    request.set_name(id);
    v1::Job job;
    status = jobs_->WaitJob(&context, request, &job);
  });
  absl::SleepFor(absl::Milliseconds(100));
  services_->Shutdown();
  waiter.join();
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(Reason(status), "SHUTTING_DOWN");
}

TEST_F(Jobs, AResumingJobNamesItsParentAndContinuesItsRunFolder) {
  Script(R"({"run_for": 60})");
  Start();
  v1::CreateJobRequest request = Training("0");
  request.mutable_spec()->mutable_train()->set_batch(4);
  v1::Job parent;
  ASSERT_TRUE(Create(request, &parent).ok());
  const std::string id = parent.name().substr(5);
  v1::CreateJobRequest resume;
  resume.mutable_spec()->mutable_train()->set_resume(id.substr(0, 10));
  resume.mutable_spec()->set_device("1");
  v1::Job child;
  const grpc::Status early = Create(resume, &child);
  EXPECT_EQ(early.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(Reason(early), "NOT_RESUMABLE");
  WaitForState(id, v1::Job::RUNNING);
  ASSERT_TRUE(Cancel(id).ok());
  const v1::Job ended = WaitForEnd(id);
  const grpc::Status status = Create(resume, &child);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(child.parent(), parent.name());
  EXPECT_EQ(child.spec().train().batch(), 4);
  const std::string child_id = child.name().substr(5);
  WaitForState(child_id, v1::Job::RUNNING);
  std::ifstream spec(core_->control().AttemptDir(child_id, 1) + "/spec.json");
  const std::string text((std::istreambuf_iterator<char>(spec)), {});
  EXPECT_THAT(text, HasSubstr(ended.run_dir()));
  // The run folder, or a file in it by way of a link, means the job too.
  std::filesystem::create_directory_symlink(ended.run_dir(), folder_.path() + "/link");
  for (const std::string& path : {ended.run_dir(), folder_.path() + "/link/"}) {
    resume.mutable_spec()->mutable_train()->set_resume(path);
    const grpc::Status by_path = Create(resume, &child);
    ASSERT_TRUE(by_path.ok()) << by_path.error_message();
    EXPECT_EQ(child.parent(), parent.name());
    EXPECT_EQ(child.spec().train().batch(), 4);
  }
  resume.mutable_spec()->mutable_train()->set_resume("jobs/aaaaaaaaaaaa");
  EXPECT_EQ(Create(resume, &child).error_code(), grpc::NOT_FOUND);
}

}  // namespace
}  // namespace yoke::service
