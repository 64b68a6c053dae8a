// yoke.v1.StreamService over server/streams; the contract is in proto/yoke/v1/stream.proto.
#pragma once

#include "server/service/shared.h"
#include "server/streams/pump.h"
#include "yoke/v1/stream.grpc.pb.h"

namespace yoke::service {

// Thread-safe. `shared` and `pump` must outlive it and its calls.
class StreamService final : public v1::StreamService::CallbackService {
 public:
  StreamService(Shared& shared, streams::Pump& pump) : shared_(shared), pump_(pump) {}

  grpc::ServerWriteReactor<v1::TailLogsResponse>* TailLogs(
      grpc::CallbackServerContext* context, const v1::TailLogsRequest* request) override;
  grpc::ServerWriteReactor<v1::TailMetricsResponse>* TailMetrics(
      grpc::CallbackServerContext* context, const v1::TailMetricsRequest* request) override;

 private:
  Shared& shared_;
  streams::Pump& pump_;
};

}  // namespace yoke::service
