// JobService: hold, release, requeue, update, explain, the queue; scheduling in CreateJob.
#include "gmock/gmock.h"
#include "tests/integration/service/server.h"

namespace yoke::service {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Dependency = v1::Scheduling::Dependency;

class Order : public ApiTest {
 protected:
  grpc::Status Create(const v1::CreateJobRequest& request, v1::Job* job) {
    grpc::ClientContext context;
    return jobs_->CreateJob(&context, request, job);
  }
  template <typename Request>
  grpc::Status Ask(grpc::Status (v1::JobService::Stub::*rpc)(grpc::ClientContext*, const Request&,
                                                             v1::Job*),
                   const std::string& id, v1::Job* job) {
    grpc::ClientContext context;
    Request request;
    request.set_name("jobs/" + id);
    return (jobs_.get()->*rpc)(&context, request, job);
  }
  grpc::Status Hold(const std::string& id) {
    return Ask<v1::HoldJobRequest>(&v1::JobService::Stub::HoldJob, id, &answer_);
  }
  grpc::Status Release(const std::string& id) {
    return Ask<v1::ReleaseJobRequest>(&v1::JobService::Stub::ReleaseJob, id, &answer_);
  }
  grpc::Status Requeue(const std::string& id) {
    return Ask<v1::RequeueJobRequest>(&v1::JobService::Stub::RequeueJob, id, &answer_);
  }
  grpc::Status Update(const std::string& id, int priority, const std::string& etag,
                      std::vector<std::string> paths) {
    grpc::ClientContext context;
    v1::UpdateJobRequest request;
    request.mutable_job()->set_name(id);
    request.mutable_job()->set_priority(priority);
    request.mutable_job()->set_etag(etag);
    for (const std::string& path : paths) request.mutable_update_mask()->add_paths(path);
    return jobs_->UpdateJob(&context, request, &answer_);
  }
  v1::ListQueueResponse Queue(int page_size = 0) {
    grpc::ClientContext context;
    v1::ListQueueRequest request;
    request.set_page_size(page_size);
    v1::ListQueueResponse response;
    const grpc::Status status = jobs_->ListQueue(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  v1::ExplainJobResponse Explain(const std::string& id) {
    grpc::ClientContext context;
    v1::ExplainJobRequest request;
    request.set_name(id);
    v1::ExplainJobResponse response;
    const grpc::Status status = jobs_->ExplainJob(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  std::string Running() {
    const std::string id = Submit("cpu:0");
    WaitForState(id, v1::Job::RUNNING);
    return id;
  }

  v1::Job answer_;
};

TEST_F(Order, OnlyWhatWaitsIsHeldAndOnlyWhatRunsIsRequeued) {
  Script(R"({"run_for": 30})");
  Start();
  const std::string running = Running();
  const grpc::Status held = Hold(running);
  EXPECT_EQ(held.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(Reason(held), "JOB_NOT_WAITING");
  const std::string waiting = Submit("cpu:0");
  EXPECT_EQ(Reason(Requeue(waiting)), "JOB_NOT_STARTED");
  EXPECT_TRUE(Hold(waiting).ok());
  EXPECT_TRUE(Hold(waiting).ok());
  EXPECT_EQ(answer_.state(), v1::Job::HELD);
  EXPECT_EQ(Queue().waiting(), 0);
  EXPECT_TRUE(Release(waiting).ok());
  EXPECT_EQ(answer_.state(), v1::Job::QUEUED);
  EXPECT_TRUE(Cancel(waiting).ok());
  for (const grpc::Status& ended : {Hold(waiting), Release(waiting), Requeue(waiting)}) {
    EXPECT_EQ(ended.error_code(), grpc::FAILED_PRECONDITION);
    EXPECT_EQ(Reason(ended), "JOB_ENDED");
  }
  EXPECT_EQ(Hold("aaaaaaaa").error_code(), grpc::NOT_FOUND);
  EXPECT_TRUE(Requeue(running).ok());
  EXPECT_EQ(Reason(Requeue(running)), "JOB_STOPPING");
  const v1::Job again = WaitFor(running, [](const v1::Job& job) {
    return job.attempts_size() == 2 && job.state() == v1::Job::RUNNING;
  });
  EXPECT_EQ(again.attempts(0).outcome(), v1::Attempt::PREEMPTED);
}

TEST_F(Order, UpdateChangesThePriorityOfTheJobThatWasRead) {
  Script(R"({"run_for": 30})");
  Start();
  Running();
  const std::string first = Submit("cpu:0"), second = Submit("cpu:0");
  WaitFor(second, [](const v1::Job& job) {
    return job.reason() == v1::JobReason::WAITING_FOR_DEVICES || !job.message().empty();
  });
  EXPECT_EQ(Reason(Update(second, 5, "0", {"priority"})), "ETAG_MISMATCH");
  EXPECT_EQ(Update(second, 5, "0", {"priority"}).error_code(), grpc::ABORTED);
  for (const auto& [status, reason] : std::vector<std::pair<grpc::Status, std::string>>{
           {Update(second, 5, "", {"owner"}), "FIELD_NOT_UPDATABLE"},
           {Update(second, 5, "", {}), "FIELD_NOT_UPDATABLE"},
           {Update(second, 101, "", {"priority"}), "PRIORITY_INVALID"}}) {
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    EXPECT_EQ(Reason(status), reason);
  }
  ASSERT_TRUE(Update(second, 5, Get(second).etag(), {"priority"}).ok());
  EXPECT_EQ(answer_.priority(), 5);
  const v1::ListQueueResponse queue = Queue();
  ASSERT_EQ(queue.entries_size(), 2);
  EXPECT_EQ(queue.entries(0).job(), "jobs/" + second);
  EXPECT_EQ(queue.entries(1).job(), "jobs/" + first);
  EXPECT_EQ(Queue(1).entries_size(), 1);
  EXPECT_EQ(Queue(1).waiting(), 2);
  ASSERT_TRUE(Cancel(second).ok());
  EXPECT_EQ(Reason(Update(second, 6, "", {"priority"})), "JOB_ENDED");
}

TEST_F(Order, ExplainSaysForWhatWhereAndWhen) {
  Script(R"({"run_for": 30})");
  Start();
  v1::CreateJobRequest limited = Training("cpu:0");
  limited.mutable_scheduling()->mutable_time_limit()->set_seconds(3600);
  v1::Job running;
  ASSERT_TRUE(Create(limited, &running).ok());
  EXPECT_EQ(running.scheduling().signal_before().seconds(), 60);
  EXPECT_EQ(running.scheduling().queue(), "default");
  WaitForState(running.name().substr(5), v1::Job::RUNNING);
  const std::string first = Submit("cpu:0"), second = Submit("cpu:0");
  const v1::ExplainJobResponse told = Explain(first);
  EXPECT_EQ(told.entry().place(), 1);
  EXPECT_EQ(told.waiting(), 2);
  EXPECT_NEAR(static_cast<double>(told.entry().earliest_start_time().seconds()),
              static_cast<double>(time(nullptr)) + 3600, 30);
  EXPECT_THAT(told.sentences(),
              ElementsAre("It waits for CPU slot 0, held by " + running.name() + " (train).",
                          "Its place in the queue is 1 of 2.",
                          HasSubstr("by the time limits of the jobs that hold its devices")));
  EXPECT_FALSE(Explain(second).entry().has_earliest_start_time());
  EXPECT_THAT(Explain(second).sentences(2),
              HasSubstr("jobs/" + first + ", which is ahead, has no time limit"));
  EXPECT_THAT(Explain(running.name()).sentences(0), HasSubstr("does not wait: it is RUNNING"));
}

TEST_F(Order, SchedulingThatCannotBeIsRefusedWithItsFields) {
  Start();
  v1::CreateJobRequest request = Training("cpu:0");
  request.mutable_scheduling()->mutable_time_limit()->set_seconds(-5);
  request.mutable_scheduling()->set_queue("nigth");
  grpc::Status refused = Create(request, &answer_);
  EXPECT_EQ(refused.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Reason(refused), "SCHEDULING_INVALID");
  EXPECT_THAT(Fields(refused), ElementsAre("scheduling.time_limit", "scheduling.queue"));
  request.clear_scheduling();
  request.mutable_scheduling()->add_dependencies()->set_job("jobs/aaaaaaaa");
  refused = Create(request, &answer_);
  EXPECT_EQ(Reason(refused), "DEPENDENCY_NOT_FOUND");
  EXPECT_EQ(refused.error_code(), grpc::INVALID_ARGUMENT);
  request.mutable_scheduling()->mutable_dependencies(0)->set_condition(
      static_cast<Dependency::Condition>(77));
  EXPECT_EQ(Reason(Create(request, &answer_)), "SCHEDULING_INVALID");
}

TEST_F(Order, ADependencyIsStoredByItsWholeNameAndEndsWhatItCannotStart) {
  Script(R"({"run_for": 0.2, "exit_code": 1})");
  Start();
  v1::CreateJobRequest request = Training("cpu:0");
  request.set_hold(true);
  v1::Job first, after;
  ASSERT_TRUE(Create(request, &first).ok());
  EXPECT_EQ(first.state(), v1::Job::HELD);
  request.set_hold(false);
  request.mutable_scheduling()->add_dependencies()->set_job(first.name().substr(5, 10));
  ASSERT_TRUE(Create(request, &after).ok());
  EXPECT_EQ(after.scheduling().dependencies(0).job(), first.name());
  EXPECT_EQ(after.scheduling().dependencies(0).condition(), Dependency::OK);
  ASSERT_TRUE(Release(first.name().substr(5)).ok());
  EXPECT_EQ(WaitForEnd(first.name().substr(5)).state(), v1::Job::FAILED);
  const v1::Job ended = WaitForEnd(after.name().substr(5));
  EXPECT_EQ(ended.state(), v1::Job::FAILED);
  EXPECT_EQ(ended.reason(), v1::JobReason::DEPENDENCY_FAILED);
  EXPECT_EQ(ended.message(),
            "It was to start after " + first.name() + " had succeeded, but that job ended FAILED.");
  EXPECT_EQ(ended.attempts_size(), 0);
}

}  // namespace
}  // namespace yoke::service
