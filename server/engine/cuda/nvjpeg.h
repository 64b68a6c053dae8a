// JPEGs by NVIDIA's nvJPEG: by the decoders that some GPUs have beside their cores, else by cores.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/engine/cuda/jpeg_decoder.h"

namespace yoke::engine {

// On device `index`. FailedPrecondition: libnvjpeg does not load or does not work here, saying why.
absl::StatusOr<std::unique_ptr<JpegDecoder>> MakeNvJpegDecoder(int index);

}  // namespace yoke::engine
