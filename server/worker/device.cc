#include "server/worker/device.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "ATen/Parallel.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "c10/util/Exception.h"
#include "server/engine/cuda/cuda_module.h"
#include "server/engine/train/tensor_heap.h"
#include "server/worker/failure.h"

namespace yoke::worker {
namespace {

// LibTorch's warnings as one line each.
class WarningLines : public c10::WarningHandler {
  void process(const c10::Warning& warning) override {
    const std::string& text = warning.msg();
    // Of sides of length 1, whose strides mean nothing; said of every group of ranks.
    if (absl::StartsWith(text, "Grad strides do not match bucket view strides")) return;
    std::fprintf(stderr, "warning: LibTorch: %s\n", text.substr(0, text.find('\n')).c_str());
  }
};

}  // namespace

absl::StatusOr<at::Device> OpenDevice(const ipc::RankSpec& rank, int local_rank) {
  if (rank.devices.empty()) return absl::InvalidArgumentError("spec.json: a rank without devices");
  const std::string names = absl::StrJoin(rank.devices, ",");
  if (absl::StartsWith(rank.devices[0], "cpu:")) return at::Device(at::kCPU);
  const absl::StatusOr<engine::CudaModule*> cuda = engine::CudaModule::Load();
  if (!cuda.ok()) {
    return CudaUnavailable(
        absl::StrCat("cannot compute on ", names, ": ", cuda.status().message()));
  }
  // What cuBLAS asks for, to give the same sums each time.
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  try {
    // Under the supervisor a rank sees its own devices only; started by hand it may see all.
    const int seen = (*cuda)->DeviceCount();
    const int index = seen == static_cast<int>(rank.devices.size()) ? 0 : local_rank;
    if (index >= seen) {
      return CudaUnavailable(absl::StrCat("cannot compute on ", names, ": CUDA shows ", seen,
                                          " devices here; check the driver with nvidia-smi"));
    }
    (*cuda)->SetDevice(index);
    return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
  } catch (const std::exception& error) {
    const std::string what = error.what();
    return CudaUnavailable(
        absl::StrCat("cannot compute on ", names, ": ", what.substr(0, what.find('\n'))));
  }
}

void SetUpProcess(int threads) {
  at::set_num_threads(std::max(threads, 1));
  at::set_num_interop_threads(1);
  engine::KeepTensorMemory();
  static WarningLines warnings;
  c10::WarningUtils::set_warning_handler(&warnings);
}

}  // namespace yoke::worker
