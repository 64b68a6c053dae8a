// The messages of ONNX's onnx.proto that a network needs, and their protobuf wire format. Written
// by hand because LibTorch's headers shadow protobuf's and the worker must not link it; the bytes
// are those that protobuf itself would write.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/cord.h"

namespace yoke::engine::onnx {

// TensorProto.DataType.
enum class ElementType { kFloat = 1, kInt64 = 7 };
inline constexpr auto kFloatCode = static_cast<int64_t>(ElementType::kFloat);  // for Cast

// Values in row-major order, little endian. The Cord may share memory of somebody else's.
struct Tensor {
  std::string name;
  ElementType type = ElementType::kFloat;
  std::vector<int64_t> dims;  // empty: a scalar
  absl::Cord data;
};

Tensor FloatTensor(std::string name, std::vector<int64_t> dims, const std::vector<float>& values);
Tensor Int64Tensor(std::string name, std::vector<int64_t> dims, const std::vector<int64_t>& values);

struct Attribute {
  using Value = std::variant<int64_t, std::string, std::vector<int64_t>>;
  std::string name;
  Value value;
};

struct Node {
  std::string name, op_type;
  std::vector<std::string> inputs, outputs;  // an empty input is one left out
  std::vector<Attribute> attributes;
};

// A size, or the name of one that is open.
using Dimension = std::variant<int64_t, std::string>;

struct ValueInfo {
  std::string name;
  ElementType type = ElementType::kFloat;
  std::vector<Dimension> shape;
};

struct Graph {
  std::string name;
  std::vector<Node> nodes;  // each after those it reads from
  std::vector<Tensor> initializers;
  std::vector<ValueInfo> inputs, outputs;
};

struct Model {
  int opset = 0;  // of the standard operators
  std::string producer_name, producer_version;
  Graph graph;
  std::vector<std::pair<std::string, std::string>> metadata;
};

inline constexpr int kOpsetMin = 13, kOpsetMax = 22;

// The oldest version of the file format that may carry this opset, so that a runtime of the opset's
// age reads it (table in ONNX's docs/Versioning.md). REQUIRES: kOpsetMin <= opset <= kOpsetMax.
int IrVersionOf(int opset);

// The file. InvalidArgument: a tensor whose bytes do not fit its shape, or more than the 2 GiB that
// one protobuf message holds.
absl::StatusOr<absl::Cord> Encode(const Model& model);

}  // namespace yoke::engine::onnx
