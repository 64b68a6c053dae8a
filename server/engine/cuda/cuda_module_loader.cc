#include <dlfcn.h>

#include "absl/strings/str_cat.h"
#include "server/engine/cuda/cuda_module.h"

namespace yoke::engine {
namespace {

absl::StatusOr<CudaModule*> LoadNow() {
  if (dlopen("libcuda.so.1", RTLD_NOW) == nullptr) {
    return absl::FailedPreconditionError("no NVIDIA driver on this machine (libcuda.so.1 does not load)");
  }
  void* module = dlopen("libyoke_cuda.so", RTLD_NOW | RTLD_GLOBAL);
  if (module == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("the CUDA module does not load: ", dlerror(), "; run deploy/deps/fetch-libtorch --flavour cuda and build again"));
  }
  auto factory = reinterpret_cast<CudaModuleFactory>(dlsym(module, kCudaModuleFactory));
  if (factory == nullptr) return absl::FailedPreconditionError("the CUDA module is of another version; build again");
  return factory();
}

}  // namespace

absl::StatusOr<CudaModule*> CudaModule::Load() {
  static const absl::StatusOr<CudaModule*> module = LoadNow();
  return module;
}

}  // namespace yoke::engine
