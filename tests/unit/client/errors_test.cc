// Answers -> messages and exit codes; words -> server addresses.
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "client/lib/call_error.h"
#include "client/lib/exit_code.h"
#include "client/lib/nonce.h"
#include "client/lib/server_address.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"

namespace yoke::client {
namespace {

using ::testing::HasSubstr;

grpc::Status Answer(grpc::StatusCode code, const std::string& message, const std::vector<const google::protobuf::Message*>& details) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  for (const auto* detail : details) status.add_details()->PackFrom(*detail);
  return grpc::Status(code, message, status.SerializeAsString());
}

TEST(CallError, EveryViolationIsALine) {
  google::rpc::ErrorInfo info;
  info.set_reason("INVALID_SPEC");
  google::rpc::BadRequest bad;
  auto add = [&](const char* field, const char* description) {
    auto* violation = bad.add_field_violations();
    violation->set_field(field);
    violation->set_description(description);
  };
  add("train.batch", "batch=5 cannot be divided among 2 devices; 4 or 6 can");
  add("train.imgsz", "takes 32 to 8192");
  const absl::Status status = FromGrpc(Answer(grpc::INVALID_ARGUMENT, "the job has 2 problems", {&info, &bad}));
  EXPECT_EQ(status.message(), "batch=5 cannot be divided among 2 devices; 4 or 6 can\nimgsz: takes 32 to 8192");
  EXPECT_EQ(ReasonOf(status), "INVALID_SPEC");
  EXPECT_EQ(ExitCodeOf(status), kUsage);
}

TEST(CallError, MessageAloneAndRetry) {
  EXPECT_EQ(FromGrpc(Answer(grpc::NOT_FOUND, "no job abc", {})).message(), "no job abc");
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::NOT_FOUND, "no job abc")).message(), "no job abc");
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(3);
  const absl::Status full = FromGrpc(Answer(grpc::RESOURCE_EXHAUSTED, "the queue is full", {&retry}));
  EXPECT_EQ(full.message(), "the queue is full\ntry again in 3 s");
  EXPECT_EQ(ReasonOf(full), "");
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::INTERNAL, "x", "no message at all")).message(), "x");
}

TEST(ExitCodes, OfAnswers) {
  const std::map<grpc::StatusCode, int> table = {
      {grpc::OK, 0}, {grpc::INVALID_ARGUMENT, 2}, {grpc::OUT_OF_RANGE, 2}, {grpc::NOT_FOUND, 3}, {grpc::PERMISSION_DENIED, 4},
      {grpc::UNAUTHENTICATED, 4}, {grpc::UNAVAILABLE, 5}, {grpc::FAILED_PRECONDITION, 6}, {grpc::ABORTED, 6}, {grpc::ALREADY_EXISTS, 6},
      {grpc::RESOURCE_EXHAUSTED, 6}, {grpc::DEADLINE_EXCEEDED, 7}, {grpc::CANCELLED, 130}, {grpc::INTERNAL, 1}, {grpc::UNKNOWN, 1},
      {grpc::UNIMPLEMENTED, 1}, {grpc::DATA_LOSS, 1}};
  for (const auto& [code, want] : table) EXPECT_EQ(ExitCodeOf(FromGrpc(grpc::Status(code, "x"))), want) << code;
}

TEST(ExitCodes, OfJobs) {
  auto code = [](v1::Job::State state, v1::JobReason::Code reason) {
    v1::Job job;
    job.set_state(state);
    job.set_reason(reason);
    return ExitCodeOf(job);
  };
  EXPECT_EQ(code(v1::Job::SUCCEEDED, v1::JobReason::COMPLETED), 0);
  EXPECT_EQ(code(v1::Job::FAILED, v1::JobReason::RANK_FAILED), 10);
  EXPECT_EQ(code(v1::Job::FAILED, v1::JobReason::BAD_INPUT), 10);
  EXPECT_EQ(code(v1::Job::FAILED, v1::JobReason::LOST), 12);
  EXPECT_EQ(code(v1::Job::CANCELLED, v1::JobReason::CANCELLED_BY_USER), 11);
  EXPECT_EQ(code(v1::Job::TIMED_OUT, v1::JobReason::TIME_LIMIT), 7);
  EXPECT_EQ(code(v1::Job::RUNNING, v1::JobReason::CODE_UNSPECIFIED), 0);
}

Environment Env(std::map<std::string, std::string> values) {
  return [values](const std::string& name) {
    const auto found = values.find(name);
    return found == values.end() ? "" : found->second;
  };
}

TEST(Server, FlagThenVariableThenSocket) {
  EXPECT_EQ(FindServer("unix:///a", Env({{"YOKE_SERVER", "unix:///b"}}), false)->target, "unix:/a");
  EXPECT_EQ(FindServer("", Env({{"YOKE_SERVER", "unix:b"}}), false)->target, "unix:b");
  const auto user = FindServer("", Env({{"XDG_RUNTIME_DIR", "/run/user/7"}}), false);
  EXPECT_EQ(user->target, "unix:/run/user/7/yoke.sock");
  EXPECT_EQ(user->display, "unix:///run/user/7/yoke.sock");
  EXPECT_TRUE(user->is_unix);
  EXPECT_EQ(FindServer("", Env({{"XDG_RUNTIME_DIR", "/run/user/0"}}), true)->target, "unix:/run/yoke/yoke.sock");
}

TEST(Server, OtherFormsAreRefused) {
  for (const char* word : {"unix:", "tls://host:1", "host", "127.0.0.1:port", "127.0.0.1:99999"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(FindServer(word, Env({}), false).status())) << word;
  }
  EXPECT_THAT(std::string(FindServer("10.1.2.3:50", Env({}), false).status().message()), HasSubstr("ssh"));
  EXPECT_TRUE(absl::IsInvalidArgument(FindServer("unix:///" + std::string(108, 'x'), Env({}), false).status()));
}

TEST(Server, LoopbackNeedsATokenThatOthersCannotRead) {
  EXPECT_TRUE(absl::IsPermissionDenied(FindServer("127.0.0.1:5050", Env({}), false).status()));
  EXPECT_TRUE(absl::IsNotFound(FindServer("127.0.0.1:5050", Env({{"YOKE_TOKEN_FILE", "/nowhere"}}), false).status()));
  std::string pattern = (std::filesystem::temp_directory_path() / "yoke-token.XXXXXX").string();
  const std::filesystem::path dir = mkdtemp(pattern.data());
  const std::string file = dir / "token";
  std::ofstream(file) << " secret \n";
  chmod(file.c_str(), 0644);
  EXPECT_TRUE(absl::IsPermissionDenied(FindServer("localhost:5050", Env({{"YOKE_TOKEN_FILE", file}}), false).status()));
  chmod(file.c_str(), 0600);
  const auto server = FindServer("localhost:5050", Env({{"YOKE_TOKEN_FILE", file}}), false);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(server->token, "secret");
  EXPECT_FALSE(server->is_unix);
  std::filesystem::remove_all(dir);
}

TEST(Nonce, IdsAndFiles) {
  EXPECT_THAT(NewRequestId(), ::testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_NE(NewRequestId(), NewRequestId());
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  std::string path;
  {
    const auto nonce = NonceFile::Make();
    ASSERT_TRUE(nonce.ok()) << nonce.status();
    path = nonce->path();
    std::string text;
    std::ifstream(path) >> text;
    EXPECT_EQ(Sha256Hex(text), nonce->sha256());
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace yoke::client
