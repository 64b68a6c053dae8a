// Requests -> jobs to store, on four CPU slots or four scripted GPUs.
#include "server/service/submission.h"

#include <stdlib.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "server/service/errors.h"
#include "tests/support/temp_folder.h"

namespace yoke::service {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

v1::CreateJobRequest Training(const std::string& device) {
  v1::CreateJobRequest request;
  request.mutable_spec()->mutable_train()->set_data("/d.yaml");
  request.mutable_spec()->set_device(device);
  return request;
}

class Submission : public testing::Test {
 protected:
  void UseGpus() {
    const char* bin = getenv("YOKE_BIN_DIR");
    inventory_ = devices::MakeInventory(
        {.nvml_library = absl::StrCat(bin == nullptr ? "build/dev-daemon/bin" : bin,
                                      "/../lib/fake/libnvidia-ml.so.1")});
    ASSERT_TRUE(inventory_->has_gpus()) << inventory_->DriverProblem();
  }
  absl::StatusOr<jobs::JobRecord> Make(const v1::CreateJobRequest& request,
                                       const jobs::JobRecord* parent = nullptr) {
    return MakeJobRecord(request, parent, *inventory_, MeasuredIn(cache_.path()));
  }
  static google::rpc::BadRequest Violations(const absl::Status& status) {
    google::rpc::BadRequest bad;
    const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
    EXPECT_TRUE(payload.has_value()) << status;
    if (payload.has_value()) bad.ParseFromString(std::string(*payload));
    return bad;
  }

  TempFolder cache_;
  std::unique_ptr<devices::DeviceInventory> inventory_ =
      devices::MakeInventory({.nvml_library = "none", .cpu_slots = 4});
};

TEST_F(Submission, DefaultsAreFilledDevicesBoundAndTheBannerSaysHow) {
  v1::CreateJobRequest request = Training("0,2");
  request.mutable_spec()->mutable_train()->set_imgsz(650);
  request.set_display_name("night");
  request.set_priority(7);
  const auto record = Make(request);
  ASSERT_TRUE(record.ok()) << record.status();
  const v1::Job& job = record->public_job;
  EXPECT_EQ(job.state(), v1::Job::QUEUED);
  EXPECT_EQ(job.spec().train().epochs(), 100);
  EXPECT_EQ(job.display_name(), "night");
  EXPECT_EQ(job.priority(), 7);
  EXPECT_THAT(job.device_uuids(), ElementsAre("cpu:0", "cpu:2"));
  EXPECT_THAT(record->user_set, ElementsAre("data", "imgsz", "device"));
  EXPECT_THAT(job.warnings(), ElementsAre("imgsz=650 is not a multiple of 32; rounded up to 672"));
  EXPECT_EQ(absl::StrJoin(job.banner(), "|"),
            "CPU devices: 2|Devices: CPU slot 0, CPU slot 2|Total batch: 16|Batch per device: "
            "8|Method: DDP (gloo)");
}

TEST_F(Submission, TheWholeCpuIsOneDevice) {
  const auto record = Make(Training("cpu"));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->public_job.device_uuids_size(), 4);
  EXPECT_EQ(record->public_job.banner(0), "CPU devices: 1");
}

TEST_F(Submission, WhereTheSchedulerChoosesNothingIsBound) {
  UseGpus();
  const auto record = Make(Training("gpus:2"));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_THAT(record->public_job.device_uuids(), IsEmpty());
  EXPECT_EQ(record->public_job.banner(0), "GPUs: 2");
}

TEST_F(Submission, ABadDeviceIsRefusedInTheWordsOfTheInventory) {
  UseGpus();
  const absl::Status refused = Make(Training("5")).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()),
              StartsWith("GPU 5 not available. Only 4 GPU(s) detected."));
  EXPECT_EQ(ReasonOf(refused), "DEVICE_NOT_AVAILABLE");
  EXPECT_EQ(Violations(refused).field_violations(0).field(), "device");
  EXPECT_EQ(ReasonOf(Make(Training("0,0")).status()), "DEVICE_DUPLICATE");
  EXPECT_EQ(ReasonOf(Make(Training("0,x")).status()), "DEVICE_STRING_INVALID");
}

TEST_F(Submission, WhatDoesNotFitTheGpusIsAWarningAndTheEstimateALineOfTheBanner) {
  UseGpus();
  v1::CreateJobRequest request = Training("0");
  request.mutable_spec()->mutable_train()->set_model("yolov8x.yaml");
  request.mutable_spec()->mutable_train()->set_batch(256);
  const auto record = Make(request);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_THAT(*record->public_job.banner().rbegin(), HasSubstr("(estimate)"));
  ASSERT_EQ(record->public_job.warnings_size(), 1);
  EXPECT_THAT(record->public_job.warnings(0), HasSubstr("should fit"));
}

TEST_F(Submission, EveryMistakeIsNamedAtOnce) {
  v1::CreateJobRequest request = Training("9");
  request.mutable_spec()->mutable_train()->set_epochs(0);
  request.mutable_spec()->mutable_train()->set_optimizer("sgdd");
  request.set_priority(101);
  request.set_display_name("a\nb");
  request.set_request_id("1");
  std::vector<std::string> fields;
  const google::rpc::BadRequest bad = Violations(Make(request).status());
  for (const auto& violation : bad.field_violations()) fields.push_back(violation.field());
  EXPECT_THAT(fields, ElementsAre("train.epochs", "train.optimizer", "display_name", "priority",
                                  "request_id", "device"));
}

TEST_F(Submission, ABatchThatCannotBeSharedNamesTheNearest) {
  const absl::Status refused = Make(Training("0,1,2")).status();
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the nearest batches are 15 and 18"));
  EXPECT_EQ(Violations(refused).field_violations(0).field(), "train.batch");
  EXPECT_EQ(Make({}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(Submission, TheHashIsOfWhatWasAskedWithoutTheRequestId) {
  v1::CreateJobRequest request = Training("auto");
  request.set_request_id("123E4567-e89b-42d3-a456-426614174000");
  const jobs::JobRecord first = Make(request).value();
  EXPECT_EQ(first.request_id, "123e4567-e89b-42d3-a456-426614174000");
  request.set_request_id("223e4567-e89b-42d3-a456-426614174000");
  const jobs::JobRecord second = Make(request).value();
  EXPECT_EQ(first.request_hash, second.request_hash);
  EXPECT_NE(first.id, second.id);
  request.set_display_name("x");
  EXPECT_NE(Make(request)->request_hash, first.request_hash);
}

class Resuming : public Submission {
 protected:
  Resuming() {
    v1::CreateJobRequest request = Training("0,1");
    request.mutable_spec()->mutable_train()->set_batch(32);
    request.mutable_spec()->mutable_train()->set_lr0(0.02);
    parent_ = Make(request).value();
    parent_.public_job.set_name("jobs/" + parent_.id);
    parent_.public_job.set_state(v1::Job::CANCELLED);
    parent_.public_job.add_attempts()->set_number(1);
    child_.mutable_spec()->mutable_train()->set_resume(parent_.id);
    child_.mutable_spec()->set_device("0");
  }
  jobs::JobRecord parent_;
  v1::CreateJobRequest child_;
};

TEST_F(Resuming, KeysNotGivenAreThoseGivenForTheParent) {
  child_.mutable_spec()->mutable_train()->set_lr0(0.005);
  const auto record = Make(child_, &parent_);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->public_job.parent(), parent_.public_job.name());
  EXPECT_EQ(record->public_job.spec().train().data(), "/d.yaml");
  EXPECT_EQ(record->public_job.spec().train().batch(), 32);
  EXPECT_EQ(record->public_job.spec().train().lr0(), 0.005);
  EXPECT_THAT(record->user_set, ElementsAre("data", "batch", "lr0", "resume", "device"));
}

TEST_F(Resuming, NeedsATrainingThatRanAndEnded) {
  parent_.public_job.set_state(v1::Job::RUNNING);
  EXPECT_EQ(ReasonOf(Make(child_, &parent_).status()), "NOT_RESUMABLE");
  EXPECT_THAT(std::string(Make(child_, &parent_).status().message()), HasSubstr("still RUNNING"));
  parent_.public_job.set_state(v1::Job::CANCELLED);
  parent_.public_job.clear_attempts();
  EXPECT_THAT(std::string(Make(child_, &parent_).status().message()),
              HasSubstr("before it started"));
  parent_.public_job.mutable_spec()->mutable_selftest();
  EXPECT_THAT(std::string(Make(child_, &parent_).status().message()), HasSubstr("selftest"));
}

TEST_F(Resuming, APathIsTakenAsItIsAndNothingElseIs) {
  child_.mutable_spec()->mutable_train()->set_data("/d.yaml");
  child_.mutable_spec()->mutable_train()->set_resume("/runs/a");
  EXPECT_FALSE(ResumedJob(child_.spec())->has_value());
  EXPECT_EQ(Make(child_)->public_job.parent(), "");
  child_.mutable_spec()->mutable_train()->set_resume("runs/a");
  EXPECT_EQ(ResumedJob(child_.spec()).status().code(), absl::StatusCode::kInvalidArgument);
  child_.mutable_spec()->mutable_train()->set_resume("abcd");
  EXPECT_EQ(ResumedJob(child_.spec()).value(), "abcd");
}

}  // namespace
}  // namespace yoke::service
