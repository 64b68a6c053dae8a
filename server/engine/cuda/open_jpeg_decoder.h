// What nvjpeg=True asks for.
#pragma once

#include <memory>

#include "ATen/core/Tensor.h"
#include "server/engine/cuda/jpeg_decoder.h"
#include "server/engine/observer.h"

namespace yoke::engine {

// Null where it is not wanted, and where there is none, which `observer` is told.
std::shared_ptr<JpegDecoder> OpenJpegDecoder(bool wanted, at::Device device, Observer& observer);

}  // namespace yoke::engine
