#include "tests/integration/service/server.h"

#include <grpc/grpc.h>
#include <stdlib.h>

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/jobs/state_machine.h"

namespace yoke::service {
namespace {

std::string BinDir() {
  const char* dir = std::getenv("YOKE_BIN_DIR");
  return dir == nullptr ? "build/dev-daemon/bin" : dir;
}

constexpr auto kPatience = std::chrono::seconds(20);

}  // namespace

ApiTest::ApiTest() {
  grpc_init();  // never given back: after a large message, whoever gives back the last one waits 10
                // s for a thread of gRPC's
  config_.state = folder_.path() + "/state";
  config_.nvml = "none";
  config_.cpu_slots = 4;
  config_.worker_path = BinDir() + "/fake_worker";
  config_.shim_path = BinDir() + "/yoke-shim";
  facts_ = {"1.2.3", config_.state, absl::Now()};
  Script("{}");
}

ApiTest::~ApiTest() {
  if (core_ != nullptr) {
    const std::vector<jobs::JobRecord> open = core_->store().ListOpen().value();
    for (const jobs::JobRecord& job : open)
      core_->control().Cancel(job.id, absl::ZeroDuration(), "").IgnoreError();
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!core_->store().ListOpen()->empty() && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  Stop();
  unsetenv("YOKE_FAKE_WORKER");
}

void ApiTest::Script(const std::string& json) { setenv("YOKE_FAKE_WORKER", json.c_str(), 1); }

void ApiTest::UseGpus() { config_.nvml = BinDir() + "/../lib/fake/libnvidia-ml.so.1"; }

void ApiTest::Start(const std::string& token) {
  auto core = daemon::Core::Open(config_);
  ASSERT_TRUE(core.ok()) << core.status();
  core_ = std::move(*core);
  authorizer_ = MakeAuthorizer({.local_user = "ann", .token = token});
  ServiceDeps deps{&core_->store(), &core_->control(), &core_->inventory(), authorizer_.get(),
                   facts_};
  services_ = Services::Make(deps);
  grpc::ServerBuilder builder;
  ConfigureServer(builder);
  services_->RegisterOn(builder);
  builder.AddListeningPort(absl::StrCat("unix:", folder_.path(), "/s"),
                           grpc::InsecureServerCredentials());
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  server_ = builder.BuildAndStart();
  ASSERT_NE(server_, nullptr);
  tcp_address_ = absl::StrCat("127.0.0.1:", port);
  ASSERT_TRUE(
      core_->Begin([this] { services_->JobsChanged(); }, [this] { services_->DevicesChanged(); })
          .ok());
  const std::shared_ptr<grpc::Channel> channel = Connect();
  jobs_ = v1::JobService::NewStub(channel);
  streams_ = v1::StreamService::NewStub(channel);
  devices_ = v1::DeviceService::NewStub(channel);
  system_ = v1::SystemService::NewStub(channel);
}

void ApiTest::Stop() {
  if (server_ != nullptr) {
    services_->Shutdown();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  }
  if (core_ != nullptr) core_->End();
  server_.reset();
  services_.reset();
  core_.reset();
}

std::shared_ptr<grpc::Channel> ApiTest::Connect() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  return grpc::CreateCustomChannel(absl::StrCat("unix:", folder_.path(), "/s"),
                                   grpc::InsecureChannelCredentials(), arguments);
}

v1::CreateJobRequest ApiTest::Training(const std::string& device) {
  v1::CreateJobRequest request;
  request.mutable_spec()->mutable_train()->set_data("/data.yaml");
  request.mutable_spec()->mutable_train()->set_model("yolov8n.yaml");
  request.mutable_spec()->set_device(device);
  return request;
}

std::string ApiTest::Submit(const std::string& device) {
  grpc::ClientContext context;
  v1::Job job;
  const grpc::Status status = jobs_->CreateJob(&context, Training(device), &job);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return job.name().substr(job.name().find('/') + 1);
}

v1::Job ApiTest::Get(const std::string& id) {
  grpc::ClientContext context;
  v1::GetJobRequest request;
  request.set_name("jobs/" + id);
  v1::Job job;
  const grpc::Status status = jobs_->GetJob(&context, request, &job);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return job;
}

v1::Job ApiTest::WaitFor(const std::string& id, const std::function<bool(const v1::Job&)>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    v1::Job job = Get(id);
    if (holds(job)) return job;
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "in vain; the job is now " << job.ShortDebugString();
      return job;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

v1::Job ApiTest::WaitForState(const std::string& id, v1::Job::State state) {
  return WaitFor(id, [state](const v1::Job& job) { return job.state() == state; });
}

v1::Job ApiTest::WaitForEnd(const std::string& id) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  v1::WaitJobRequest request;
  request.set_name("jobs/" + id);
  v1::Job job;
  const grpc::Status status = jobs_->WaitJob(&context, request, &job);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(jobs::IsTerminal(job.state())) << job.ShortDebugString();
  return job;
}

grpc::Status ApiTest::Cancel(const std::string& id, v1::Job* job) {
  grpc::ClientContext context;
  v1::CancelJobRequest request;
  request.set_name("jobs/" + id);
  request.mutable_grace()->set_seconds(5);
  v1::Job answer;
  return jobs_->CancelJob(&context, request, job == nullptr ? &answer : job);
}

std::string Reason(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  if (!details.ParseFromString(status.error_details())) return "";
  for (const google::protobuf::Any& any : details.details()) {
    if (any.UnpackTo(&info)) return info.reason();
  }
  return "";
}

std::vector<std::string> Fields(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::BadRequest bad;
  std::vector<std::string> fields;
  if (!details.ParseFromString(status.error_details())) return fields;
  for (const google::protobuf::Any& any : details.details()) {
    if (!any.UnpackTo(&bad)) continue;
    for (const auto& violation : bad.field_violations()) fields.push_back(violation.field());
  }
  return fields;
}

std::string Uuid(char digit) {
  const std::string four(4, digit);
  return absl::StrCat(four, four, "-", four, "-", four, "-", four, "-", four, four, four);
}

}  // namespace yoke::service
