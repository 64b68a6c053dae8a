#include "server/engine/cuda/open_jpeg_decoder.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/cuda/cuda_module.h"

namespace yoke::engine {
namespace {

absl::StatusOr<std::unique_ptr<JpegDecoder>> Open(at::Device device) {
  if (!device.is_cuda()) return absl::FailedPreconditionError("it is for NVIDIA GPUs");
  absl::StatusOr<CudaModule*> cuda = CudaModule::Load();
  if (!cuda.ok()) return cuda.status();
  return (*cuda)->MakeJpegDecoder(device.index());
}

}  // namespace

std::shared_ptr<JpegDecoder> OpenJpegDecoder(bool wanted, at::Device device, Observer& observer) {
  if (!wanted) return nullptr;
  absl::StatusOr<std::unique_ptr<JpegDecoder>> decoder = Open(device);
  if (decoder.ok()) return *std::move(decoder);
  observer.OnWarning(absl::StrCat("nvjpeg=True has no effect here, the host decodes all images: ",
                                  decoder.status().message()));
  return nullptr;
}

}  // namespace yoke::engine
