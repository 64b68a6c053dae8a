#include "server/service/services.h"

#include "grpc/health/v1/health.pb.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "absl/time/clock.h"
#include "common/os/clock.h"
#include "server/service/call_count.h"
#include "server/service/device_service.h"
#include "server/service/job_service.h"
#include "server/service/shared.h"
#include "server/service/stream_service.h"
#include "server/service/system_service.h"
#include "server/streams/pump.h"

namespace yoke::service {
namespace {

constexpr int kRequestBytesMax = 4 << 20;
constexpr int kMetadataBytesMax = 8 << 10;
constexpr int kStreamsPerConnection = 100;
constexpr absl::Duration kDrainPatience = absl::Seconds(2);
constexpr absl::Duration kDrainLook = absl::Milliseconds(5);

class AllServices : public Services {
 public:
  explicit AllServices(const ServiceDeps& deps)
      : shared_(deps), pump_(shared_.store()), jobs_(shared_), streams_(shared_, pump_), devices_(shared_), system_(shared_) {}

  void RegisterOn(grpc::ServerBuilder& builder) override {
    builder.RegisterService(&jobs_);
    builder.RegisterService(&streams_);
    builder.RegisterService(&devices_);
    builder.RegisterService(&system_);
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
    interceptors.push_back(calls_.MakeFactory());
    builder.experimental().SetInterceptorCreators(std::move(interceptors));
  }

  // A change of a job may be one of a lease.
  void JobsChanged() override {
    shared_.jobs_bell().Ring();
    shared_.devices_bell().Ring();
    pump_.JobsChanged();
  }
  void DevicesChanged() override { shared_.devices_bell().Ring(); }
  void Shutdown() override {
    shared_.BeginShutdown();
    pump_.WakeAll();
    const int64_t deadline = os::BootMilliseconds() + absl::ToInt64Milliseconds(kDrainPatience);
    while (calls_.now() > 0 && os::BootMilliseconds() < deadline) absl::SleepFor(kDrainLook);
  }

 private:
  CallCount calls_;
  Shared shared_;
  streams::Pump pump_;
  JobService jobs_;
  StreamService streams_;
  DeviceService devices_;
  SystemService system_;
};

}  // namespace

std::unique_ptr<Services> Services::Make(const ServiceDeps& deps) {
  return std::make_unique<AllServices>(deps);
}

void ConfigureServer(grpc::ServerBuilder& builder) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::health::v1::HealthCheckRequest::descriptor();  // linked in, so that reflection can show the
                                                       // health service too
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  builder.SetMaxReceiveMessageSize(kRequestBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnection);
  // A peer that is gone without a word is found within 50 s, also one that could be sent nothing for long.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
  // A second server on the same port shall fail, not share it.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

}  // namespace yoke::service
