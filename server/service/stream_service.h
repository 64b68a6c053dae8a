// yoke.v1.StreamService over server/streams; the contract is in proto/yoke/v1/stream.proto.
#pragma once

#include "server/service/shared.h"
#include "yoke/v1/stream.grpc.pb.h"

namespace yoke::service {

// Thread-safe. `shared` must outlive it.
class StreamService final : public v1::StreamService::Service {
 public:
  explicit StreamService(Shared& shared) : shared_(shared) {}

  grpc::Status TailLogs(grpc::ServerContext* context, const v1::TailLogsRequest* request,
                        grpc::ServerWriter<v1::TailLogsResponse>* writer) override;
  grpc::Status TailMetrics(grpc::ServerContext* context, const v1::TailMetricsRequest* request,
                           grpc::ServerWriter<v1::TailMetricsResponse>* writer) override;

 private:
  absl::Status Logs(const grpc::ServerContext& context, const v1::TailLogsRequest& request,
                    grpc::ServerWriter<v1::TailLogsResponse>& writer);
  absl::Status Metrics(const grpc::ServerContext& context, const v1::TailMetricsRequest& request,
                       grpc::ServerWriter<v1::TailMetricsResponse>& writer);

  Shared& shared_;
};

}  // namespace yoke::service
