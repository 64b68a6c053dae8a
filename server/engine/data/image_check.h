// Is this image file whole? Answered from its first and last bytes where they settle it, so that scanning a
// large data set does not decode it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/engine/data/image.h"

namespace yoke::engine {

// The size, EXIF orientation applied. InvalidArgument "PATH: reason": empty, truncated, unsupported, under 10 px a
// side. A file damaged in its middle may pass; decoding it fails later.
absl::StatusOr<ImageSize> CheckImageFile(const std::string& path);

}  // namespace yoke::engine
