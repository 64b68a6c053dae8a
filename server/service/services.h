// The gRPC face of the daemon: what main.cc needs to offer the API on a grpc::ServerBuilder.
//
//   service::ConfigureServer(builder);               // limits, keepalive, health, reflection
//   auto services = service::Services::Make(deps);
//   services->RegisterOn(builder);
//   std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
//   store->SetListener([&] { services->JobsChanged(); ... });
//   inventory->SetListener([&] { services->DevicesChanged(); ... });
//   ...
//   services->Shutdown();                            // ends the streams: clients reconnect later
//   server->Shutdown(deadline);
//
// The adapters validate, authorise, translate and map errors; they decide nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "grpcpp/server_builder.h"
#include "server/devices/inventory.h"
#include "server/jobs/job_control.h"
#include "server/jobs/job_store.h"
#include "server/service/authorizer.h"

namespace yoke::service {

// What the daemon says about itself.
struct ServerFacts {
  std::string version;
  std::string state_dir;
  absl::Time start_time;
  int queue_length_max = 10000;  // open jobs; beyond it CreateJob is RESOURCE_EXHAUSTED
  std::vector<std::string> warnings;  // what was damaged and mended at the start
  std::string containment;  // how the processes of jobs are kept together
};

// All pointers must outlive the Services and be set.
struct ServiceDeps {
  jobs::JobStore* store = nullptr;
  jobs::JobControl* control = nullptr;
  devices::DeviceInventory* inventory = nullptr;
  Authorizer* authorizer = nullptr;
  ServerFacts facts;
};

// Thread-safe. Destroy it only after the grpc::Server it is registered on.
class Services {
 public:
  static std::unique_ptr<Services> Make(const ServiceDeps& deps);
  virtual ~Services() = default;

  virtual void RegisterOn(grpc::ServerBuilder& builder) = 0;

  // Wake those who watch or wait. Cheap, from any thread. Without these calls they poll.
  virtual void JobsChanged() = 0;
  virtual void DevicesChanged() = 0;

  // Ends every open stream with UNAVAILABLE (reason SHUTTING_DOWN) and every later one at once.
  virtual void Shutdown() = 0;
};

// Message and metadata limits, keepalive that finds dead peers, health service, reflection.
// Call once per process before BuildAndStart.
void ConfigureServer(grpc::ServerBuilder& builder);

}  // namespace yoke::service
