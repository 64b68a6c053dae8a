// How many calls a server is answering.
#pragma once

#include <atomic>
#include <memory>

#include "grpcpp/support/server_interceptor.h"

namespace yoke::service {

// Counts each call from its arrival until its answer was handed to the connection. It must outlive
// the server.
class CallCount {
 public:
  int now() const { return calls_; }
  // For ServerBuilder::experimental_type::SetInterceptorCreators.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeFactory();

 private:
  std::atomic<int> calls_ = 0;
};

}  // namespace yoke::service
