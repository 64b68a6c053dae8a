#include "server/engine/export/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace yoke::engine {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are written as they lie");

constexpr char kMetadata[] = "__metadata__";
constexpr size_t kHeaderBytesMax = 100'000'000;
constexpr size_t kAlignment = 8;

struct TypeFacts {
  const char* name;
  uint64_t bytes;
};

TypeFacts FactsOf(SafeTensor::Type type) {
  switch (type) {
    case SafeTensor::Type::kInt64:
      return {"I64", 8};
    case SafeTensor::Type::kFloat32:
      return {"F32", 4};
    case SafeTensor::Type::kFloat16:
      break;
  }
  return {"F16", 2};
}

absl::Status Check(const SafeTensor& tensor) {
  if (tensor.name == kMetadata)
    return absl::InvalidArgumentError(absl::StrCat("a tensor cannot be called ", kMetadata));
  uint64_t bytes = FactsOf(tensor.type).bytes;
  bool fits = true;
  for (const int64_t size : tensor.shape) {
    fits = fits && size >= 0 && !__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes);
  }
  if (fits && bytes == tensor.data.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("tensor ", tensor.name, " of shape [",
                                                 absl::StrJoin(tensor.shape, ", "), "] has ",
                                                 tensor.data.size(), " bytes"));
}

}  // namespace

absl::StatusOr<absl::Cord> EncodeSafetensors(std::vector<SafeTensor> tensors,
                                             const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const SafeTensor& a, const SafeTensor& b) {
    return std::tie(a.type, a.name) < std::tie(b.type, b.name);
  });
  nlohmann::ordered_json header;
  header[kMetadata] = metadata;
  std::set<std::string> names;
  absl::Cord data;
  for (const SafeTensor& tensor : tensors) {
    YOKE_RETURN_IF_ERROR(Check(tensor));
    if (!names.insert(tensor.name).second)
      return absl::InvalidArgumentError(absl::StrCat("two tensors are called ", tensor.name));
    const size_t begin = data.size();
    data.Append(tensor.data);
    header[tensor.name] = {{"dtype", FactsOf(tensor.type).name},
                           {"shape", tensor.shape},
                           {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  if (text.size() > kHeaderBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("the header would take ", text.size(),
                                                   " bytes; safetensors allows ", kHeaderBytesMax));
  }
  const uint64_t size = text.size();
  char length[sizeof(size)];
  std::memcpy(length, &size, sizeof(size));
  absl::Cord file(absl::string_view(length, sizeof(length)));
  file.Append(text);
  file.Append(data);
  return file;
}

}  // namespace yoke::engine
