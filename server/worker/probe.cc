#include "server/worker/probe.h"

#include <thread>

#include "ATen/Version.h"
#include "absl/strings/str_cat.h"
#include "opencv2/core/version.hpp"
#include "server/engine/cuda/cuda_module.h"
#include "torch/version.h"

namespace yoke::worker {
namespace {

using nlohmann::json;

json CudaDevices(engine::CudaModule& cuda) {
  json devices = json::array();
  for (int i = 0; i < cuda.DeviceCount(); ++i) {
    const engine::CudaDeviceProperties properties = cuda.Properties(i);
    const engine::CudaDeviceMemory memory = cuda.Memory(i);
    devices.push_back({{"index", i},
                       {"name", properties.name},
                       {"computeCapability", absl::StrCat(properties.major, ".", properties.minor)},
                       {"memoryTotalBytes", memory.total_bytes},
                       {"memoryFreeBytes", memory.free_bytes}});
  }
  return devices;
}

void ProbeCuda(json& answer) {
  answer["cuda"] = false;
  answer["devices"] = json::array();
  const absl::StatusOr<engine::CudaModule*> cuda = engine::CudaModule::Load();
  if (!cuda.ok()) {
    answer["cudaMessage"] = std::string(cuda.status().message());
    return;
  }
  try {
    answer["devices"] = CudaDevices(**cuda);
    answer["cuda"] = !answer["devices"].empty();
    if (answer["devices"].empty()) answer["cudaMessage"] = "the driver shows no device";
  } catch (const std::exception& error) {
    const std::string what = error.what();
    answer["cudaMessage"] = what.substr(0, what.find('\n'));
  }
}

}  // namespace

json Probe() {
  json answer = {{"version", YOKE_VERSION},
                 {"torch", TORCH_VERSION},
                 {"opencv", CV_VERSION},
                 {"cpu",
                  {{"capability", at::get_cpu_capability()},
                   {"cores", std::thread::hardware_concurrency()},
                   {"avx512Bf16", __builtin_cpu_supports("avx512bf16") != 0}}}};
  ProbeCuda(answer);
  return answer;
}

}  // namespace yoke::worker
