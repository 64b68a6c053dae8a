// yoke.v1.DeviceService over inventory and leases; the contract is in proto/yoke/v1/device.proto.
#pragma once

#include <vector>

#include "server/service/shared.h"
#include "yoke/v1/device.grpc.pb.h"

namespace yoke::service {

// Thread-safe. `shared` must outlive it.
class DeviceService final : public v1::DeviceService::Service {
 public:
  explicit DeviceService(Shared& shared) : shared_(shared) {}

  grpc::Status ListDevices(grpc::ServerContext* context, const v1::ListDevicesRequest* request,
                           v1::ListDevicesResponse* response) override;
  grpc::Status ResolveDevices(grpc::ServerContext* context,
                              const v1::ResolveDevicesRequest* request,
                              v1::ResolveDevicesResponse* response) override;
  grpc::Status WatchDevices(grpc::ServerContext* context, const v1::WatchDevicesRequest* request,
                            grpc::ServerWriter<v1::WatchDevicesResponse>* writer) override;
  grpc::Status DrainDevice(grpc::ServerContext* context, const v1::DrainDeviceRequest* request,
                           v1::Device* device) override;
  grpc::Status ResumeDevice(grpc::ServerContext* context, const v1::ResumeDeviceRequest* request,
                            v1::Device* device) override;

 private:
  absl::Status List(const grpc::ServerContext& context, v1::ListDevicesResponse& response);
  absl::Status Resolve(const grpc::ServerContext& context, const std::string& device,
                       v1::ResolveDevicesResponse& response);
  absl::Status Watch(const grpc::ServerContext& context,
                     grpc::ServerWriter<v1::WatchDevicesResponse>& writer);

  absl::Status Drain(const grpc::ServerContext& context, const v1::DrainDeviceRequest& request,
                     v1::Device& device);
  absl::Status Resume(const grpc::ServerContext& context, const std::string& text,
                      v1::Device& device);

  Shared& shared_;
};

// Writes holders and lease states into devices as the inventory shows them: a lost or drained device
// stays so, a leased one is LEASED or, when it could not be proven empty, QUARANTINED. Pure.
void ShowLeases(const std::vector<jobs::Lease>& leases, std::vector<v1::Device>& devices);

}  // namespace yoke::service
