// The safetensors format (huggingface/safetensors, docs of version 0.7): a length, a header in
// JSON, the tensors' bytes. Writing only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/cord.h"

namespace yoke::engine {

// Values in row-major order, little endian.
struct SafeTensor {
  enum class Type { kInt64, kFloat32, kFloat16 };
  std::string name;
  Type type = Type::kFloat32;
  std::vector<int64_t> shape;
  absl::Cord data;
};

// The file; `metadata` becomes its __metadata__. The widest types come first, then names decide, so
// that every tensor lies at a multiple of its element's size. InvalidArgument: a tensor whose bytes
// do not fit its shape, a name that is taken twice or reserved, a header beyond the format's 100
// MB.
absl::StatusOr<absl::Cord> EncodeSafetensors(std::vector<SafeTensor> tensors,
                                             const std::map<std::string, std::string>& metadata);

}  // namespace yoke::engine
