// File layout, little-endian: "YOKESTA1" | u64 header size | header (JSON) | tensors' bytes | u32
// CRC-32 of all before.
#include "server/engine/checkpoint/state.h"

#include <sys/stat.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/formats/zip_reader.h"
#include "nlohmann/json.hpp"
#include "server/engine/checkpoint/atomic_file.h"

namespace yoke::engine {
namespace {

using nlohmann::json;

constexpr char kMagic[] = "YOKESTA1";
constexpr size_t kMagicSize = 8;
const char* const kNames[] = {"a.ckpt", "b.ckpt"};

struct TypeName {
  at::ScalarType type;
  const char* name;
};
constexpr TypeName kTypes[] = {{at::kFloat, "float32"},     {at::kHalf, "float16"},
                               {at::kBFloat16, "bfloat16"}, {at::kDouble, "float64"},
                               {at::kLong, "int64"},        {at::kInt, "int32"},
                               {at::kByte, "uint8"},        {at::kBool, "bool"}};

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  std::string bytes(static_cast<size_t>(file.tellg()), '\0');
  file.seekg(0).read(bytes.data(), bytes.size());
  bytes.resize(file.gcount());
  return bytes;
}

// JSON has no words for numbers that are not finite; they are kept as text.
json FromNumbers(const std::map<std::string, double>& numbers) {
  json result = json::object();
  for (const auto& [name, value] : numbers) {
    if (std::isfinite(value))
      result[name] = value;
    else
      result[name] = std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  }
  return result;
}

std::map<std::string, double> ToNumbers(const json& numbers) {
  std::map<std::string, double> result;
  for (const auto& [name, value] : numbers.items()) {
    result[name] = value.is_string() ? std::strtod(value.get<std::string>().c_str(), nullptr)
                                     : value.get<double>();
  }
  return result;
}

// The header if the file verifies whole, else the reason.
absl::StatusOr<json> Verify(const std::string& bytes) {
  if (bytes.size() < kMagicSize + 12 || bytes.compare(0, kMagicSize, kMagic) != 0)
    return absl::DataLossError("it is no training state or truncated");
  uint32_t stored;
  std::memcpy(&stored, bytes.data() + bytes.size() - 4, 4);
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  if (formats::Crc32(absl::MakeSpan(data, bytes.size() - 4)) != stored)
    return absl::DataLossError("its checksum differs");
  uint64_t size;
  std::memcpy(&size, bytes.data() + kMagicSize, 8);
  if (size > bytes.size() - kMagicSize - 12) return absl::DataLossError("its header is too long");
  json header = json::parse(bytes.begin() + kMagicSize + 8, bytes.begin() + kMagicSize + 8 + size,
                            nullptr, false);
  if (!header.is_object()) return absl::DataLossError("its header is no JSON");
  return header;
}

absl::StatusOr<TrainState> Decode(const std::string& bytes) {
  YOKE_ASSIGN_OR_RETURN(const json header, Verify(bytes));
  uint64_t size;
  std::memcpy(&size, bytes.data() + kMagicSize, 8);
  const uint64_t begin = kMagicSize + 8 + size, end = bytes.size() - 4;
  TrainState state;
  try {
    state.generation = header.at("generation").get<int64_t>();
    state.numbers = ToNumbers(header.at("numbers"));
    state.strings = header.at("strings").get<std::map<std::string, std::string>>();
    for (const json& entry : header.at("tensors")) {
      const std::string type_name = entry.at("type").get<std::string>();
      const TypeName* type = nullptr;
      for (const TypeName& known : kTypes) {
        if (type_name == known.name) type = &known;
      }
      if (type == nullptr) return absl::DataLossError("it has a tensor of an unknown type");
      at::Tensor tensor =
          at::empty(entry.at("shape").get<std::vector<int64_t>>(), at::TensorOptions(type->type));
      const uint64_t offset = entry.at("offset").get<uint64_t>();
      if (offset > end - begin || tensor.nbytes() > end - begin - offset)
        return absl::DataLossError("it has a tensor outside the file");
      std::memcpy(tensor.data_ptr(), bytes.data() + begin + offset, tensor.nbytes());
      state.tensors[entry.at("name").get<std::string>()] = tensor;
    }
  } catch (const std::exception& error) {
    return absl::DataLossError(error.what());
  }
  return state;
}

// The generation in a file's header without reading its tensors; 0 if there is none.
int64_t PeekGeneration(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char start[kMagicSize + 8];
  if (!file.read(start, sizeof start) || std::memcmp(start, kMagic, kMagicSize) != 0) return 0;
  uint64_t size;
  std::memcpy(&size, start + kMagicSize, 8);
  if (size > (64u << 20)) return 0;
  std::string text(size, '\0');
  if (!file.read(text.data(), size)) return 0;
  const json header = json::parse(text, nullptr, false);
  return header.is_object() ? header.value("generation", int64_t{0}) : 0;
}

}  // namespace

absl::Status SaveState(const std::string& dir, TrainState& state) {
  if (mkdir(dir.c_str(), 0755) != 0 && errno != EEXIST)
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot create ", dir));
  int64_t generations[2];
  for (int i = 0; i < 2; ++i) generations[i] = PeekGeneration(absl::StrCat(dir, "/", kNames[i]));
  const int older = generations[0] <= generations[1] ? 0 : 1;
  state.generation = std::max(generations[0], generations[1]) + 1;

  json tensors = json::array();
  std::vector<at::Tensor> plain;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : state.tensors) {
    plain.push_back(tensor.detach().cpu().contiguous());
    const char* type = nullptr;
    for (const TypeName& known : kTypes) {
      if (known.type == tensor.scalar_type()) type = known.name;
    }
    if (type == nullptr)
      return absl::InternalError(
          absl::StrCat("the state's tensor ", name, " is of an unknown type"));
    tensors.push_back(
        {{"name", name}, {"type", type}, {"shape", tensor.sizes().vec()}, {"offset", offset}});
    offset += plain.back().nbytes();
  }
  const json header = {{"generation", state.generation},
                       {"numbers", FromNumbers(state.numbers)},
                       {"strings", state.strings},
                       {"tensors", tensors}};
  const std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  const uint64_t text_size = text.size();

  AtomicFile file(absl::StrCat(dir, "/", kNames[older]));
  uint32_t crc = 0;
  const auto write = [&](const void* data, size_t size) {
    crc = formats::Crc32(absl::MakeSpan(static_cast<const uint8_t*>(data), size), crc);
    file.Write(data, size);
  };
  write(kMagic, kMagicSize);
  write(&text_size, sizeof text_size);
  write(text.data(), text.size());
  for (const at::Tensor& tensor : plain) write(tensor.data_ptr(), tensor.nbytes());
  file.Write(&crc, sizeof crc);
  return file.Commit();
}

absl::StatusOr<TrainState> LoadState(const std::string& dir, std::string* warning) {
  std::vector<std::string> paths;
  for (const char* name : kNames) {
    const std::string path = absl::StrCat(dir, "/", name);
    struct stat info {};
    if (stat(path.c_str(), &info) == 0) paths.push_back(path);
  }
  if (paths.empty())
    return absl::NotFoundError(absl::StrCat(dir, ": no training state there (a.ckpt, b.ckpt)"));
  // A header is trusted for the order of reading only: generations count once their file verifies.
  if (paths.size() == 2 && PeekGeneration(paths[1]) > PeekGeneration(paths[0]))
    std::swap(paths[0], paths[1]);
  std::string damaged;
  for (const std::string& path : paths) {
    auto state = Decode(ReadAll(path));
    if (!state.ok()) {
      absl::StrAppend(&damaged, damaged.empty() ? "" : "; ", path, ": ", state.status().message());
      continue;
    }
    if (damaged.empty() && path == paths[0] && paths.size() == 2 && PeekGeneration(paths[1]) == 0) {
      damaged = absl::StrCat(paths[1], ": it has no readable header");
    }
    if (warning != nullptr && !damaged.empty())
      *warning = absl::StrCat("a damaged training state is passed over: ", damaged);
    return state;
  }
  return absl::DataLossError(absl::StrCat("no training state verifies: ", damaged));
}

}  // namespace yoke::engine
