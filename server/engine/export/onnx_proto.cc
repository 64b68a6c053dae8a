#include "server/engine/export/onnx_proto.h"

#include <bit>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace yoke::engine::onnx {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are written as they lie");

constexpr uint64_t kModelBytesMax = std::numeric_limits<int32_t>::max();

// Fields of one message in the order they are added; onnx.proto's numbers ascend in every message
// below, as protobuf writes them.
class Message {
 public:
  void Integer(int field, int64_t value) {
    Varint(static_cast<uint64_t>(field) << 3 | 0);
    Varint(static_cast<uint64_t>(value));
  }
  void Bytes(int field, const absl::Cord& bytes) {
    Varint(static_cast<uint64_t>(field) << 3 | 2);
    Varint(bytes.size());
    bytes_.Append(bytes);
  }
  void Text(int field, const std::string& text) { Bytes(field, absl::Cord(text)); }

  absl::Cord Take() && { return std::move(bytes_); }

 private:
  void Varint(uint64_t value) {
    char bytes[10];
    size_t size = 0;
    for (; value >= 0x80; value >>= 7) bytes[size++] = static_cast<char>(value | 0x80);
    bytes[size++] = static_cast<char>(value);
    bytes_.Append(absl::string_view(bytes, size));
  }

  absl::Cord bytes_;
};

uint64_t ElementBytes(ElementType type) { return type == ElementType::kFloat ? 4 : 8; }

absl::Status CheckTensor(const Tensor& tensor) {
  uint64_t bytes = ElementBytes(tensor.type);
  bool fits = true;
  for (const int64_t size : tensor.dims) {
    fits = fits && size >= 0 && !__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes);
  }
  if (fits && bytes == tensor.data.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("ONNX tensor ", tensor.name, " of shape [",
                                                 absl::StrJoin(tensor.dims, ", "), "] has ",
                                                 tensor.data.size(), " bytes"));
}

absl::StatusOr<absl::Cord> EncodeTensor(const Tensor& tensor) {
  YOKE_RETURN_IF_ERROR(CheckTensor(tensor));
  Message message;  // TensorProto
  for (const int64_t size : tensor.dims) message.Integer(1, size);
  message.Integer(2, static_cast<int64_t>(tensor.type));
  message.Text(8, tensor.name);
  message.Bytes(9, tensor.data);  // raw_data
  return std::move(message).Take();
}

absl::Cord EncodeAttribute(const Attribute& attribute) {
  enum Type { kInt = 2, kString = 3, kInts = 7 };
  Message message;  // AttributeProto
  message.Text(1, attribute.name);
  Type type = kInts;
  if (const auto* integer = std::get_if<int64_t>(&attribute.value)) {
    type = kInt;
    message.Integer(3, *integer);
  } else if (const auto* text = std::get_if<std::string>(&attribute.value)) {
    type = kString;
    message.Text(4, *text);
  } else {
    for (const int64_t item : std::get<std::vector<int64_t>>(attribute.value))
      message.Integer(8, item);
  }
  message.Integer(20, type);
  return std::move(message).Take();
}

absl::Cord EncodeNode(const Node& node) {
  Message message;  // NodeProto
  for (const std::string& input : node.inputs) message.Text(1, input);
  for (const std::string& output : node.outputs) message.Text(2, output);
  message.Text(3, node.name);
  message.Text(4, node.op_type);
  for (const Attribute& attribute : node.attributes) message.Bytes(5, EncodeAttribute(attribute));
  return std::move(message).Take();
}

absl::Cord EncodeValueInfo(const ValueInfo& value) {
  Message shape;  // TensorShapeProto
  for (const Dimension& dimension : value.shape) {
    Message size;
    if (const auto* fixed = std::get_if<int64_t>(&dimension)) {
      size.Integer(1, *fixed);
    } else {
      size.Text(2, std::get<std::string>(dimension));
    }
    shape.Bytes(1, std::move(size).Take());
  }
  Message tensor;  // TypeProto.Tensor
  tensor.Integer(1, static_cast<int64_t>(value.type));
  tensor.Bytes(2, std::move(shape).Take());
  Message type;  // TypeProto
  type.Bytes(1, std::move(tensor).Take());
  Message message;  // ValueInfoProto
  message.Text(1, value.name);
  message.Bytes(2, std::move(type).Take());
  return std::move(message).Take();
}

absl::StatusOr<absl::Cord> EncodeGraph(const Graph& graph) {
  Message message;  // GraphProto
  for (const Node& node : graph.nodes) message.Bytes(1, EncodeNode(node));
  message.Text(2, graph.name);
  for (const Tensor& tensor : graph.initializers) {
    YOKE_ASSIGN_OR_RETURN(const absl::Cord bytes, EncodeTensor(tensor));
    message.Bytes(5, bytes);
  }
  for (const ValueInfo& input : graph.inputs) message.Bytes(11, EncodeValueInfo(input));
  for (const ValueInfo& output : graph.outputs) message.Bytes(12, EncodeValueInfo(output));
  return std::move(message).Take();
}

}  // namespace

Tensor FloatTensor(std::string name, std::vector<int64_t> dims, const std::vector<float>& values) {
  const absl::string_view bytes(reinterpret_cast<const char*>(values.data()), values.size() * 4);
  return {std::move(name), ElementType::kFloat, std::move(dims), absl::Cord(bytes)};
}

Tensor Int64Tensor(std::string name, std::vector<int64_t> dims,
                   const std::vector<int64_t>& values) {
  const absl::string_view bytes(reinterpret_cast<const char*>(values.data()), values.size() * 8);
  return {std::move(name), ElementType::kInt64, std::move(dims), absl::Cord(bytes)};
}

int IrVersionOf(int opset) {
  YOKE_CHECK(kOpsetMin <= opset && opset <= kOpsetMax);
  if (opset <= 14) return 7;
  if (opset <= 18) return 8;
  return opset <= 20 ? 9 : 10;
}

absl::StatusOr<absl::Cord> Encode(const Model& model) {
  Message message;  // ModelProto
  message.Integer(1, IrVersionOf(model.opset));
  message.Text(2, model.producer_name);
  message.Text(3, model.producer_version);
  YOKE_ASSIGN_OR_RETURN(const absl::Cord graph, EncodeGraph(model.graph));
  message.Bytes(7, graph);
  Message opset;  // OperatorSetIdProto
  opset.Text(1, "");
  opset.Integer(2, model.opset);
  message.Bytes(8, std::move(opset).Take());
  for (const auto& [key, value] : model.metadata) {
    Message entry;  // StringStringEntryProto
    entry.Text(1, key);
    entry.Text(2, value);
    message.Bytes(14, std::move(entry).Take());
  }
  absl::Cord bytes = std::move(message).Take();
  if (bytes.size() > kModelBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("the ONNX model would take ", bytes.size(),
                                                   " bytes; a file of one part holds 2 GiB"));
  }
  return bytes;
}

}  // namespace yoke::engine::onnx
