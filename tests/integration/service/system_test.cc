// Who may call, what the server says about itself, health, limits.
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "tests/integration/service/server.h"

namespace yoke::service {
namespace {

class System : public ApiTest {
 protected:
  v1::GetServerInfoResponse Info(const std::string& probe_path) {
    grpc::ClientContext context;
    v1::GetServerInfoRequest request;
    request.set_probe_path(probe_path);
    v1::GetServerInfoResponse response;
    const grpc::Status status = system_->GetServerInfo(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  // GetServerInfo over TCP; an empty header sends none.
  grpc::Status OverTcp(const std::string& authorization) {
    const auto stub = v1::SystemService::NewStub(
        grpc::CreateChannel(tcp_address(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    if (!authorization.empty()) context.AddMetadata("authorization", authorization);
    v1::GetServerInfoResponse response;
    const grpc::Status status = stub->GetServerInfo(&context, {}, &response);
    if (status.ok()) {
      EXPECT_EQ(response.user(), "ann");
    }
    return status;
  }
};

TEST_F(System, SaysWhoItIsAndReadsANonceButNothingElse) {
  Start();
  const std::string nonce = folder_.path() + "/nonce", large = folder_.path() + "/large";
  std::ofstream(nonce) << "hello";
  std::ofstream(large) << std::string(1000, 'x');
  const v1::GetServerInfoResponse info = Info(nonce);
  EXPECT_EQ(info.version(), "1.2.3");
  EXPECT_EQ(info.pid(), getpid());
  EXPECT_EQ(info.user(), "ann");
  EXPECT_EQ(info.state_dir(), config_.state);
  EXPECT_FALSE(info.hostname().empty());
  EXPECT_EQ(info.probe_sha256(),
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  ASSERT_EQ(symlink(nonce.c_str(), (folder_.path() + "/link").c_str()), 0);
  for (const std::string& path :
       {std::string(), large, folder_.path(), folder_.path() + "/link", folder_.path() + "/none",
        std::string("/dev/zero"), std::string("nonce")}) {
    EXPECT_EQ(Info(path).probe_sha256(), "") << path;
  }
}

TEST_F(System, ChecksTheMachineAndAsksTheWorker) {
  Start();
  grpc::ClientContext context;
  v1::CheckSystemResponse response;
  ASSERT_TRUE(system_->CheckSystem(&context, {}, &response).ok());
  std::vector<std::string> names;
  for (const auto& item : response.items()) {
    names.push_back(item.name());
    EXPECT_NE(item.verdict(), v1::CheckSystemResponse::Item::FAILED) << item.ShortDebugString();
  }
  EXPECT_THAT(names, testing::ElementsAre("yoked", "containment", "cpu", "memory", "disk", "driver",
                                          "worker", "libtorch", "cuda"));
}

TEST_F(System, OverTcpTheTokenIsWanted) {
  Start("a-long-secret");
  EXPECT_TRUE(OverTcp("Bearer a-long-secret").ok());
  for (const char* header : {"", "a-long-secret", "Bearer a-long-secreT", "Bearer a-long",
                             "Bearer ", "Basic a-long-secret"}) {
    const grpc::Status refused = OverTcp(header);
    EXPECT_EQ(refused.error_code(), grpc::UNAUTHENTICATED) << header;
    EXPECT_THAT(Reason(refused), testing::StartsWith("TOKEN_")) << header;
  }
}

TEST_F(System, WithoutATokenNobodyComesInOverTcp) {
  Start();
  EXPECT_EQ(Reason(OverTcp("Bearer ")), "NO_TCP");
  EXPECT_EQ(OverTcp("").error_code(), grpc::UNAUTHENTICATED);
}

TEST_F(System, EveryRpcAndStreamAsksWhoCalls) {
  Start("a-long-secret");
  const auto channel = grpc::CreateChannel(tcp_address(), grpc::InsecureChannelCredentials());
  int asked = 0;
  for (const char* file : {"yoke/v1/job.proto", "yoke/v1/stream.proto", "yoke/v1/device.proto",
                           "yoke/v1/system.proto"}) {
    const auto* service =
        google::protobuf::DescriptorPool::generated_pool()->FindFileByName(file)->service(0);
    for (int i = 0; i < service->method_count(); ++i, ++asked) {
      const std::string method =
          absl::StrCat("/", service->full_name(), "/", service->method(i)->name());
      grpc::GenericStub stub(channel);
      grpc::ClientContext context;
      grpc::CompletionQueue queue;
      grpc::ByteBuffer empty(nullptr, 0);
      const auto call = stub.PrepareUnaryCall(&context, method, empty, &queue);
      call->StartCall();
      grpc::ByteBuffer answer;
      grpc::Status status;
      call->Finish(&answer, &status, nullptr);
      void* tag = nullptr;
      bool ok = false;
      ASSERT_TRUE(queue.Next(&tag, &ok));
      EXPECT_EQ(status.error_code(), grpc::UNAUTHENTICATED) << method;
      queue.Shutdown();
      while (queue.Next(&tag, &ok)) {
      }
    }
  }
  EXPECT_EQ(asked, 23);
}

TEST_F(System, IsHealthyWhileItServes) {
  Start();
  const auto stub = grpc::health::v1::Health::NewStub(Connect());
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status = stub->Check(&context, {}, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
}

TEST_F(System, MessagesBeyondFourMebibytesAreRefused) {
  Start();
  v1::CreateJobRequest request = Training("0");
  request.set_display_name(std::string(5 << 20, 'x'));
  grpc::ClientContext context;
  v1::Job job;
  EXPECT_EQ(jobs_->CreateJob(&context, request, &job).error_code(), grpc::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace yoke::service
