// Built as libyoke_cuda.so against the real CUDA and NCCL headers.
#include "server/engine/cuda/cuda_module.h"

#include <cuda_runtime_api.h>

#include "c10/cuda/CUDAFunctions.h"
#include "torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp"

namespace yoke::engine {
namespace {

class RealCudaModule : public CudaModule {
 public:
  int DeviceCount() override { return c10::cuda::device_count(); }
  void SetDevice(int index) override { c10::cuda::set_device(static_cast<c10::DeviceIndex>(index)); }
  void Synchronize() override { c10::cuda::device_synchronize(); }
  CudaDeviceMemory Memory(int index) override {
    SetDevice(index);
    size_t free_bytes = 0, total_bytes = 0;
    cudaMemGetInfo(&free_bytes, &total_bytes);
    return {static_cast<int64_t>(free_bytes), static_cast<int64_t>(total_bytes)};
  }
  CudaDeviceProperties Properties(int index) override {
    cudaDeviceProp properties = {};
    cudaGetDeviceProperties(&properties, index);
    return {properties.name, properties.major, properties.minor};
  }
  c10::intrusive_ptr<c10d::Backend> MakeNccl(c10::intrusive_ptr<c10d::Store> store, int rank, int world_size, int timeout_seconds) override {
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = std::chrono::seconds(timeout_seconds);
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(std::move(store), rank, world_size, options);
  }
};

}  // namespace
}  // namespace yoke::engine

extern "C" __attribute__((visibility("default"))) yoke::engine::CudaModule* yoke_cuda_module() {
  static yoke::engine::RealCudaModule module;
  return &module;
}
