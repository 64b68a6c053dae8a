#include "server/engine/checkpoint/state_layout.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace yoke::engine {
namespace {

using nlohmann::json;

constexpr int64_t kGenerationMax = int64_t{1} << 53;
constexpr size_t kDimensionsMax = 16;

absl::Status Misread(const std::string& what) { return absl::DataLossError(what); }

// JSON has no words for numbers that are not finite; they are kept as text.
json FromNumber(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

double ToNumber(const json& value) {
  if (value.is_number()) return value.get<double>();
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  return text == "inf" ? kInfinite : text == "-inf" ? -kInfinite : std::nan("");
}

// A whole number of the JSON that is not negative; -1 for anything else.
int64_t WholeNumber(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return -1;
  const auto value = found->get<uint64_t>();
  return value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())
             ? static_cast<int64_t>(value)
             : -1;
}

absl::StatusOr<StateTensor> ToTensor(const json& entry, uint64_t data_bytes) {
  StateTensor tensor;
  const int64_t offset = entry.is_object() ? WholeNumber(entry, "offset") : -1;
  if (offset < 0) return Misread("it has a tensor without a place");
  tensor.offset = static_cast<uint64_t>(offset);
  tensor.name = entry.at("name").get<std::string>();
  tensor.type = entry.at("type").get<std::string>();
  tensor.bytes = ElementBytesOf(tensor.type);
  if (tensor.bytes == 0) return Misread("it has a tensor of an unknown type");
  const json& shape = entry.at("shape");
  if (!shape.is_array() || shape.size() > kDimensionsMax)
    return Misread("it has a tensor without a shape");
  for (const json& side : shape) {
    const uint64_t size = side.is_number_unsigned() ? side.get<uint64_t>() : data_bytes + 1;
    // A tensor of no elements may have large sides; none that this file keeps has.
    if (size > data_bytes) return Misread("it has a tensor of an impossible shape");
    if (__builtin_mul_overflow(tensor.bytes, size, &tensor.bytes))
      return Misread("it has a tensor of an impossible shape");
    tensor.shape.push_back(static_cast<int64_t>(size));
  }
  if (tensor.offset > data_bytes || tensor.bytes > data_bytes - tensor.offset)
    return Misread("it has a tensor outside the file");
  return tensor;
}

}  // namespace

uint64_t ElementBytesOf(std::string_view type) {
  if (type == "float64" || type == "int64") return 8;
  if (type == "float32" || type == "int32") return 4;
  if (type == "float16" || type == "bfloat16") return 2;
  return type == "uint8" || type == "bool" ? 1 : 0;
}

std::string EncodeLayout(const StateLayout& layout) {
  json numbers = json::object(), tensors = json::array();
  for (const auto& [name, value] : layout.numbers) numbers[name] = FromNumber(value);
  for (const StateTensor& tensor : layout.tensors) {
    tensors.push_back({{"name", tensor.name},
                       {"type", tensor.type},
                       {"shape", tensor.shape},
                       {"offset", tensor.offset}});
  }
  const json header = {{"generation", layout.generation},
                       {"numbers", numbers},
                       {"strings", layout.strings},
                       {"tensors", tensors}};
  return header.dump(-1, ' ', false, json::error_handler_t::replace);
}

absl::StatusOr<StateLayout> DecodeLayout(std::string_view text, uint64_t data_bytes) {
  const json header = json::parse(text.begin(), text.end(), nullptr, false);
  if (!header.is_object()) return Misread("its header is no JSON");
  StateLayout layout;
  layout.generation = WholeNumber(header, "generation");
  if (layout.generation < 1 || layout.generation > kGenerationMax)
    return Misread("its header has no generation");
  try {
    for (const auto& [name, value] : header.at("numbers").items())
      layout.numbers[name] = ToNumber(value);
    layout.strings = header.at("strings").get<std::map<std::string, std::string>>();
    for (const json& entry : header.at("tensors")) {
      absl::StatusOr<StateTensor> tensor = ToTensor(entry, data_bytes);
      if (!tensor.ok()) return tensor.status();
      layout.tensors.push_back(*std::move(tensor));
    }
  } catch (const json::exception& error) {
    return Misread("its header lacks something");
  }
  return layout;
}

}  // namespace yoke::engine
