// The header of a training state's file: what it holds and where, as JSON. Without LibTorch.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace yoke::engine {

struct StateTensor {
  std::string name;
  std::string type;  // "float32", see ElementBytesOf
  std::vector<int64_t> shape;
  uint64_t offset = 0, bytes = 0;  // among the tensors' bytes
};

struct StateLayout {
  int64_t generation = 0;  // 1, 2 ...
  std::map<std::string, double> numbers;
  std::map<std::string, std::string> strings;
  std::vector<StateTensor> tensors;
};

// Bytes of an element of float32, float16, bfloat16, float64, int64, int32, uint8 or bool; 0 for
// any other type.
uint64_t ElementBytesOf(std::string_view type);

// Text that is no UTF-8 is mended.
std::string EncodeLayout(const StateLayout& layout);

// DataLoss: no such JSON, a type or a generation that is none, a tensor whose shape does not fit
// its size or that lies outside the `data_bytes` of the tensors.
absl::StatusOr<StateLayout> DecodeLayout(std::string_view text, uint64_t data_bytes);

}  // namespace yoke::engine
