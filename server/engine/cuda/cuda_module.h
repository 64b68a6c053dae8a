// What only CUDA machines can do lies in libyoke_cuda.so, which is loaded when it is first needed
// and only where an NVIDIA driver is. Nothing else of the engine includes a CUDA header or links a
// CUDA library.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/engine/cuda/jpeg_decoder.h"
#include "server/engine/cuda/step_graph.h"
#include "torch/csrc/distributed/c10d/Backend.hpp"
#include "torch/csrc/distributed/c10d/Store.hpp"

namespace yoke::engine {

struct CudaDeviceMemory {
  int64_t free_bytes = 0, total_bytes = 0;
};

struct CudaDeviceProperties {
  std::string name;
  int major = 0, minor = 0;  // compute capability
};

class CudaModule {
 public:
  // The module, loaded once per process. FailedPrecondition: no driver, no CUDA libraries or no
  // module, with what to do about it.
  static absl::StatusOr<CudaModule*> Load();

  virtual ~CudaModule() = default;
  virtual int DeviceCount() = 0;
  virtual void SetDevice(int index) = 0;
  virtual void Synchronize() = 0;
  // While on, whatever makes the host wait for a device throws. For tests.
  virtual void ForbidWaiting(bool on) = 0;
  virtual CudaDeviceMemory Memory(int index) = 0;
  virtual CudaDeviceProperties Properties(int index) = 0;
  // On the current device. The graphs that it makes share memory: what one leaves behind has to be
  // copied before the next replay of any.
  virtual StepGraphFactory StepGraphs() = 0;
  // On device `index`. FailedPrecondition: libnvjpeg is not here or does not work, saying why.
  virtual absl::StatusOr<std::unique_ptr<JpegDecoder>> MakeJpegDecoder(int index) = 0;
  // An NCCL backend of a process group. Throws c10::Error.
  virtual c10::intrusive_ptr<c10d::Backend> MakeNccl(c10::intrusive_ptr<c10d::Store> store,
                                                     int rank, int world_size,
                                                     int timeout_seconds) = 0;
};

// What the module exports: returns its CudaModule, owned by the module.
inline constexpr char kCudaModuleFactory[] = "yoke_cuda_module";
using CudaModuleFactory = CudaModule* (*)();

}  // namespace yoke::engine
