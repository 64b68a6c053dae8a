// JobService: many jobs in one call.
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/integration/service/server.h"

namespace yoke::service {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Batch : public ApiTest {
 protected:
  void SetUp() override { Script(R"({"run_for": 60})"); }

  grpc::Status Create(const v1::BatchCreateJobsRequest& request) {
    grpc::ClientContext context;
    answer_.Clear();
    return jobs_->BatchCreateJobs(&context, request, &answer_);
  }
  static v1::BatchCreateJobsRequest Trainings(int count) {
    v1::BatchCreateJobsRequest batch;
    for (int i = 0; i < count; ++i) {
      *batch.add_requests() = Training("0");
      batch.mutable_requests(i)->set_display_name(absl::StrCat("n", i));
    }
    return batch;
  }
  v1::ListJobsResponse Listed() {
    grpc::ClientContext context;
    v1::ListJobsResponse response;
    EXPECT_TRUE(jobs_->ListJobs(&context, {}, &response).ok());
    return response;
  }
  int Stored() { return Listed().jobs_size(); }

  v1::BatchCreateJobsResponse answer_;
};

TEST_F(Batch, AcceptsAllInOrder) {
  Start();
  ASSERT_TRUE(Create(Trainings(20)).ok());
  ASSERT_EQ(answer_.jobs_size(), 20);
  const v1::ListJobsResponse listed = Listed();
  ASSERT_EQ(listed.jobs_size(), 20);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(answer_.jobs(i).display_name(), absl::StrCat("n", i));
    EXPECT_EQ(answer_.jobs(i).name(), listed.jobs(19 - i).name());
  }
}

TEST_F(Batch, OneThatIsWrongKeepsAllOutAndEachIsNamed) {
  Start();
  v1::BatchCreateJobsRequest batch = Trainings(4);
  batch.mutable_requests(1)->mutable_spec()->mutable_train()->set_epochs(0);
  batch.mutable_requests(3)->mutable_spec()->set_device("99");
  const grpc::Status refused = Create(batch);
  EXPECT_EQ(refused.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Reason(refused), "SPEC_INVALID");
  EXPECT_THAT(Fields(refused), ElementsAre("requests[1].train.epochs", "requests[3].device"));
  EXPECT_THAT(refused.error_message(), HasSubstr("requests[1]: "));
  EXPECT_EQ(Stored(), 0);
}

TEST_F(Batch, ARepeatGivesTheSameJobsAndAnotherBodyIsRefused) {
  Start();
  v1::BatchCreateJobsRequest batch = Trainings(3);
  for (int i = 0; i < 3; ++i) batch.mutable_requests(i)->set_request_id(Uuid(static_cast<char>('1' + i)));
  ASSERT_TRUE(Create(batch).ok());
  const v1::BatchCreateJobsResponse first = answer_;
  ASSERT_TRUE(Create(batch).ok());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(answer_.jobs(i).name(), first.jobs(i).name());
  // Some that are known beside one that is not.
  *batch.add_requests() = Training("0");
  ASSERT_TRUE(Create(batch).ok());
  EXPECT_EQ(answer_.jobs(0).name(), first.jobs(0).name());
  EXPECT_EQ(Stored(), 4);
  batch.mutable_requests(2)->set_priority(7);
  *batch.add_requests() = Training("0");
  const grpc::Status refused = Create(batch);
  EXPECT_EQ(Reason(refused), "REQUEST_ID_REUSED");
  EXPECT_THAT(Fields(refused), ElementsAre("requests[2].request_id"));
  EXPECT_EQ(Stored(), 4);
}

TEST_F(Batch, EmptyOverfullAndCheckingOnesAreRefused) {
  Start();
  for (const int count : {0, 1001}) {
    const grpc::Status refused = Create(Trainings(count));
    EXPECT_EQ(refused.error_code(), grpc::INVALID_ARGUMENT);
    EXPECT_EQ(Reason(refused), "BATCH_INVALID");
    EXPECT_THAT(refused.error_message(), HasSubstr("takes 1 to 1000"));
  }
  v1::BatchCreateJobsRequest batch = Trainings(2);
  batch.mutable_requests(1)->set_validate_only(true);
  const grpc::Status checking = Create(batch);
  EXPECT_EQ(Reason(checking), "BATCH_INVALID");
  EXPECT_THAT(Fields(checking), ElementsAre("requests[1].validate_only"));
  v1::BatchCreateJobsRequest after = Trainings(2);
  after.mutable_requests(0)->mutable_scheduling()->add_dependencies()->set_job("jobs/aaaaaaaa");
  EXPECT_EQ(Reason(Create(after)), "DEPENDENCY_NOT_FOUND");
  EXPECT_EQ(Stored(), 0);
}

TEST_F(Batch, OneThatTheQueueHasNoRoomForIsRefusedAsAWhole) {
  facts_.queue_length_max = 3;
  Start();
  ASSERT_TRUE(Create(Trainings(2)).ok());
  const grpc::Status full = Create(Trainings(2));
  EXPECT_EQ(full.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Reason(full), "QUEUE_FULL");
  EXPECT_EQ(Stored(), 2);
  EXPECT_TRUE(Create(Trainings(1)).ok());
}

}  // namespace
}  // namespace yoke::service
