// absl::Status -> what a client receives.
#include "server/service/errors.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace yoke::service {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

google::rpc::Status Details(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  return details;
}

template <typename Detail>
Detail Get(const grpc::Status& status) {
  Detail detail;
  int found = 0;
  const google::rpc::Status details = Details(status);
  for (const google::protobuf::Any& any : details.details()) found += any.UnpackTo(&detail);
  EXPECT_EQ(found, 1);
  return detail;
}

TEST(ServiceErrors, OkHasNothing) {
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_TRUE(WithReason(absl::OkStatus(), "X").ok());
}

TEST(ServiceErrors, TheReasonIsThePayloadsElseTheCodesName) {
  absl::Status status = absl::NotFoundError("no job");
  EXPECT_EQ(Get<google::rpc::ErrorInfo>(ToGrpc(status)).reason(), "NOT_FOUND");
  status.SetPayload("yoke.reason", absl::Cord("JOB_NOT_FOUND"));
  const grpc::Status out = ToGrpc(WithReason(status, "LATER"));
  EXPECT_EQ(out.error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(out.error_message(), "no job");
  EXPECT_EQ(Get<google::rpc::ErrorInfo>(out).reason(), "JOB_NOT_FOUND");
  EXPECT_EQ(Get<google::rpc::ErrorInfo>(out).domain(), "yoke");
  EXPECT_EQ(Details(out).code(), static_cast<int>(grpc::NOT_FOUND));
  EXPECT_EQ(Details(out).message(), "no job");
}

TEST(ServiceErrors, EveryViolationIsNamedInTheMessageAndInTheBadRequest) {
  const grpc::Status out = ToGrpc(InvalidFields(
      {{"train.batch", "batch=0 is out of range"}, {"train.lr0", "lr0=99 is out of range"}},
      "SPEC_INVALID"));
  EXPECT_EQ(out.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(out.error_message(), "batch=0 is out of range\nlr0=99 is out of range");
  const auto bad = Get<google::rpc::BadRequest>(out);
  ASSERT_EQ(bad.field_violations_size(), 2);
  EXPECT_EQ(bad.field_violations(1).field(), "train.lr0");
  EXPECT_EQ(bad.field_violations(1).description(), "lr0=99 is out of range");
}

TEST(ServiceErrors, AFieldErrorKeepsTheReasonItHas) {
  absl::Status status = absl::InvalidArgumentError("GPU 5 not available.");
  EXPECT_EQ(ReasonOf(AsFieldError(status, "device", "OTHER")), "OTHER");
  status.SetPayload("yoke.reason", absl::Cord("DEVICE_NOT_AVAILABLE"));
  const grpc::Status out = ToGrpc(AsFieldError(status, "device", "OTHER"));
  EXPECT_EQ(Get<google::rpc::ErrorInfo>(out).reason(), "DEVICE_NOT_AVAILABLE");
  EXPECT_EQ(Get<google::rpc::BadRequest>(out).field_violations(0).field(), "device");
  EXPECT_EQ(AsFieldError(absl::InternalError("x"), "device", "OTHER").code(),
            absl::StatusCode::kInternal);
}

// A client refuses trailers of more than 8 KiB, and would then see neither code nor message.
TEST(ServiceErrors, LongErrorsAreCutToFitIntoTrailers) {
  std::vector<jobs::Violation> violations;
  for (int i = 0; i < 500; ++i)
    violations.push_back(
        {absl::StrCat("train.key", i), absl::StrCat(std::string(100, '\xc3'), "too long")});
  for (const grpc::Status& out : {ToGrpc(InvalidFields(violations, "SPEC_INVALID")),
                                  ToGrpc(absl::InvalidArgumentError(std::string(100'000, '%'))),
                                  ToGrpc(InvalidField("x", std::string(100'000, 'a'), "R"))}) {
    EXPECT_LT(out.error_message().size() + out.error_details().size() * 4 / 3, 7500u);
    EXPECT_THAT(out.error_message(), EndsWith(" ..."));
  }
  const auto bad = Get<google::rpc::BadRequest>(ToGrpc(InvalidFields(violations, "SPEC_INVALID")));
  EXPECT_GT(bad.field_violations_size(), 3);
  EXPECT_THAT(bad.field_violations().rbegin()->description(), HasSubstr("more"));
}

TEST(ServiceErrors, NoCharacterIsCutInTwo) {
  std::string text = "a";
  while (text.size() < 4000) text += "\xe2\x82\xac";  // the euro sign
  const std::string cut = ToGrpc(absl::InternalError(text)).error_message();
  ASSERT_THAT(cut, EndsWith(" ..."));
  EXPECT_EQ((cut.size() - 4 - 1) % 3, 0u);
}

// Overlong forms, surrogates' lead bytes and lone bytes make protobuf refuse the whole message.
TEST(ServiceErrors, BytesThatAreNoUtf8AreReplaced) {
  const grpc::Status out =
      ToGrpc(InvalidField("x", "caf\xe9.txt \xc0\x80 \xf8 \xe2\x82 \xed\xa0\x80 caf\xc3\xa9", "R"));
  EXPECT_EQ(out.error_message(), "caf?.txt ?? ? ?? ??? caf\xc3\xa9");
  EXPECT_EQ(Get<google::rpc::BadRequest>(out).field_violations(0).description(),
            out.error_message());
}

TEST(ServiceErrors, AFullQueueSaysWhenToTryAgain) {
  const grpc::Status out = ToGrpc(Exhausted("full", "QUEUE_FULL", absl::Seconds(30)));
  EXPECT_EQ(out.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Get<google::rpc::RetryInfo>(out).retry_delay().seconds(), 30);
}

}  // namespace
}  // namespace yoke::service
