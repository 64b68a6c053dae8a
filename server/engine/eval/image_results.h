// What matching left of images, as bytes that ranks exchange.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/engine/eval/metrics.h"

namespace yoke::engine {

std::string EncodeImageResults(const std::vector<ImageResult>& results);

// Appends what `bytes` hold. Internal: they are not what EncodeImageResults makes.
absl::Status DecodeImageResults(const std::string& bytes, std::vector<ImageResult>& results);

}  // namespace yoke::engine
