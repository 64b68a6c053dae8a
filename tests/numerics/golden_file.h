// Reads the recorded tensors of tests/numerics/golden and makes the recorded inputs again.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ATen/ATen.h"

namespace yoke::engine {

// name -> float32 tensor. Aborts with a sentence if the file is missing or breaks off: it is part
// of the tree.
std::map<std::string, at::Tensor> ReadGolden(const std::string& file_name);

// The whole path of a file in tests/numerics/golden.
std::string GoldenPath(const std::string& file_name);

// The generator that make_goldens.py documents: `count` floats in [0, 1), equal bit for bit to
// Python's.
at::Tensor RecordedUniform(uint32_t seed, int64_t count);

// Three maps (B, 4*16 + K, H, W) of make_goldens.py's maps_of, leaves that require a gradient.
std::vector<at::Tensor> RecordedMaps(uint32_t seed, int64_t batch, int64_t classes, int64_t height,
                                     int64_t width, double slope);

}  // namespace yoke::engine
