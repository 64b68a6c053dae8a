// A whole daemon in the test's process: its core with real shims and scripted workers, and the API
// on a unix socket, as main.cc puts them together. Tests talk to it through the generated stubs.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/daemon/core.h"
#include "server/service/authorizer.h"
#include "server/service/services.h"
#include "tests/support/temp_folder.h"
#include "yoke/v1/device.grpc.pb.h"
#include "yoke/v1/job.grpc.pb.h"
#include "yoke/v1/stream.grpc.pb.h"
#include "yoke/v1/system.grpc.pb.h"

namespace yoke::service {

class ApiTest : public testing::Test {
 protected:
  ApiTest();
  // Ends what still runs.
  ~ApiTest() override;

  // Before Start, and before each submission: what the workers do
  // (tests/support/fake_worker/script.h).
  static void Script(const std::string& json);
  void UseGpus();
  // Opens core and server. With `token`, also on TCP.
  void Start(const std::string& token = "");
  // As at SIGTERM.
  void Stop();

  std::shared_ptr<grpc::Channel> Connect() const;
  // 127.0.0.1:PORT.
  const std::string& tcp_address() const { return tcp_address_; }

  static v1::CreateJobRequest Training(const std::string& device);
  // The id of a new job.
  std::string Submit(const std::string& device);
  v1::Job Get(const std::string& id);
  v1::Job WaitFor(const std::string& id, const std::function<bool(const v1::Job&)>& holds);
  v1::Job WaitForState(const std::string& id, v1::Job::State state);
  // By the API's own WaitJob.
  v1::Job WaitForEnd(const std::string& id);
  grpc::Status Cancel(const std::string& id, v1::Job* job = nullptr);

  TempFolder folder_;
  daemon::Config config_;
  ServerFacts facts_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
  std::unique_ptr<v1::StreamService::Stub> streams_;
  std::unique_ptr<v1::DeviceService::Stub> devices_;
  std::unique_ptr<v1::SystemService::Stub> system_;
  std::unique_ptr<daemon::Core> core_;
  std::unique_ptr<Services> services_;

 private:
  std::string tcp_address_;
  std::unique_ptr<Authorizer> authorizer_;
  std::unique_ptr<grpc::Server> server_;
};

// The reason of an error; "" without one.
std::string Reason(const grpc::Status& status);
// The fields that its BadRequest names.
std::vector<std::string> Fields(const grpc::Status& status);

// 8-4-4-4-12 digits, all `digit`.
std::string Uuid(char digit);

}  // namespace yoke::service
