// The limit on open jobs.
#include "server/service/queue_limit.h"

#include "gtest/gtest.h"
#include "server/jobs/ids.h"
#include "server/service/errors.h"
#include "server/store/job_store_sqlite.h"
#include "tests/support/temp_folder.h"

namespace yoke::service {
namespace {

class QueueLimits : public testing::Test {
 protected:
  QueueLimits() : store_(store::OpenJobStore({.path = folder_.path() + "/db"}).value()) {}

  std::string Store(const std::string& request_id = "") {
    jobs::JobRecord job;
    job.id = jobs::NewJobId();
    job.request_id = request_id;
    job.public_job.set_owner("ann");
    job.public_job.set_state(v1::Job::QUEUED);
    EXPECT_TRUE(store_->Create(job).ok());
    return job.id;
  }

  const TempFolder folder_;
  const std::unique_ptr<jobs::JobStore> store_;
};

TEST_F(QueueLimits, CountsWhatAnEarlierDaemonLeftAndWhatWasReserved) {
  Store();
  QueueLimit limit(*store_, 3);
  EXPECT_TRUE(limit.Reserve("ann", {""}).ok());
  Store();
  EXPECT_TRUE(limit.Reserve("ann", {""}).ok());
  Store();
  const absl::Status full = limit.Reserve("ann", {""});
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(full), "QUEUE_FULL");
}

TEST_F(QueueLimits, EndedJobsAndPlacesGivenBackMakeRoom) {
  const std::string id = Store();
  QueueLimit limit(*store_, 1);
  EXPECT_FALSE(limit.Reserve("ann", {""}).ok());
  ASSERT_TRUE(store_
                  ->Update(id,
                           [](jobs::JobRecord& job, jobs::JobStore::LeaseChange&) {
                             job.public_job.set_state(v1::Job::CANCELLED);
                             return absl::OkStatus();
                           })
                  .ok());
  EXPECT_TRUE(limit.Reserve("ann", {""}).ok());
  limit.GiveBack(1);
  EXPECT_TRUE(limit.Reserve("ann", {""}).ok());
}

TEST_F(QueueLimits, ARepeatedRequestPassesAFullQueue) {
  Store("same");
  QueueLimit limit(*store_, 1);
  EXPECT_TRUE(limit.Reserve("ann", {"same"}).ok());
  EXPECT_FALSE(limit.Reserve("ann", {"other"}).ok());
  EXPECT_FALSE(limit.Reserve("bob", {"same"}).ok());
}

TEST_F(QueueLimits, ABatchGetsAllItsPlacesOrNone) {
  Store("same");
  QueueLimit limit(*store_, 3);
  EXPECT_FALSE(limit.Reserve("ann", {"a", "b", "c"}).ok());
  EXPECT_TRUE(limit.Reserve("ann", {"same", "b", "c"}).ok());
  EXPECT_FALSE(limit.Reserve("ann", {"d"}).ok());
  limit.GiveBack(1);  // "same" was there already
  EXPECT_FALSE(limit.Reserve("ann", {"d"}).ok());
  limit.GiveBack(1);
  EXPECT_TRUE(limit.Reserve("ann", {"d"}).ok());
}

}  // namespace
}  // namespace yoke::service
