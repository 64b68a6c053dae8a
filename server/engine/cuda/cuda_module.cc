// Built as libyoke_cuda.so against the real CUDA and NCCL headers.
#include "server/engine/cuda/cuda_module.h"

#include <cuda_runtime_api.h>

#include "ATen/cuda/CUDAGraph.h"
#include "c10/cuda/CUDACachingAllocator.h"
#include "c10/cuda/CUDAFunctions.h"
#include "c10/cuda/CUDAGuard.h"
#include "server/engine/cuda/nvjpeg.h"
#include "torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp"

namespace yoke::engine {
namespace {

class CudaStepGraph : public StepGraph {
 public:
  explicit CudaStepGraph(at::cuda::MempoolId_t pool) : pool_(pool) {}

  void Record(const std::function<void()>& work) override {
    c10::cuda::device_synchronize();
    // The graph's memory is its own: what passes took before it would lie idle.
    c10::cuda::CUDACachingAllocator::emptyCache();
    const c10::cuda::CUDAStreamGuard own_stream(c10::cuda::getStreamFromPool());
    // Other threads may go on using the device: loaders pin memory.
    graph_.capture_begin(pool_, cudaStreamCaptureModeThreadLocal);
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
  const at::cuda::MempoolId_t pool_;
  at::cuda::CUDAGraph graph_;
};

class RealCudaModule : public CudaModule {
 public:
  int DeviceCount() override { return c10::cuda::device_count(); }
  void SetDevice(int index) override {
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(index));
  }
  void Synchronize() override { c10::cuda::device_synchronize(); }
  void ForbidWaiting(bool on) override {
    c10::cuda::warning_state().set_sync_debug_mode(on ? c10::cuda::SyncDebugMode::L_ERROR
                                                      : c10::cuda::SyncDebugMode::L_DISABLED);
  }
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
  StepGraphFactory StepGraphs() override {
    return [pool = at::cuda::graph_pool_handle()] { return std::make_unique<CudaStepGraph>(pool); };
  }
  absl::StatusOr<std::unique_ptr<JpegDecoder>> MakeJpegDecoder(int index) override {
    return MakeNvJpegDecoder(index);
  }
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
