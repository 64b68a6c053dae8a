#include "server/service/call_count.h"

#include "grpcpp/support/interceptor.h"

namespace yoke::service {
namespace {

class Counted final : public grpc::experimental::Interceptor {
 public:
  explicit Counted(std::atomic<int>& calls) : calls_(calls) { ++calls_; }
  ~Counted() override { --calls_; }
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    methods->Proceed();
  }

 private:
  std::atomic<int>& calls_;
};

class Factory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(std::atomic<int>& calls) : calls_(calls) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new Counted(calls_);
  }

 private:
  std::atomic<int>& calls_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> CallCount::MakeFactory() {
  return std::make_unique<Factory>(calls_);
}

}  // namespace yoke::service
