// Built as libyoke_cuda.so against the real CUDA and NCCL headers.
#include "server/engine/cuda/cuda_module.h"

#include <cuda_runtime_api.h>

#include "ATen/cuda/CUDAGraph.h"
#include "c10/cuda/CUDAFunctions.h"
#include "c10/cuda/CUDAGuard.h"
#include "torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp"

namespace yoke::engine {
namespace {

class CudaStepGraph : public StepGraph {
 public:
  void Record(const std::function<void()>& work) override {
    c10::cuda::device_synchronize();
    const c10::cuda::CUDAStreamGuard own_stream(c10::cuda::getStreamFromPool());
    // Other threads may go on using the device: loaders pin memory.
    graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      try {
        graph_.capture_end();
      } catch (const std::exception&) {
        // What `work` met says more.
      }
      throw;
    }
    graph_.capture_end();
  }

  void Replay() override { graph_.replay(); }

 private:
  at::cuda::CUDAGraph graph_;
};

class RealCudaModule : public CudaModule {
 public:
  int DeviceCount() override { return c10::cuda::device_count(); }
  void SetDevice(int index) override {
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(index));
  }
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
  std::unique_ptr<StepGraph> MakeStepGraph() override { return std::make_unique<CudaStepGraph>(); }
  c10::intrusive_ptr<c10d::Backend> MakeNccl(c10::intrusive_ptr<c10d::Store> store, int rank,
                                             int world_size, int timeout_seconds) override {
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
