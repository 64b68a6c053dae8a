// yoke.v1.SystemService; the contract is in proto/yoke/v1/system.proto.
#pragma once

#include "server/service/shared.h"
#include "yoke/v1/system.grpc.pb.h"

namespace yoke::service {

// Thread-safe. `shared` must outlive it.
class SystemService final : public v1::SystemService::Service {
 public:
  explicit SystemService(Shared& shared) : shared_(shared) {}

  grpc::Status GetServerInfo(grpc::ServerContext* context, const v1::GetServerInfoRequest* request,
                             v1::GetServerInfoResponse* response) override;
  grpc::Status CreateBackup(grpc::ServerContext* context, const v1::CreateBackupRequest* request,
                            v1::CreateBackupResponse* response) override;
  grpc::Status CheckSystem(grpc::ServerContext* context, const v1::CheckSystemRequest* request,
                           v1::CheckSystemResponse* response) override;

 private:
  Shared& shared_;
};

}  // namespace yoke::service
