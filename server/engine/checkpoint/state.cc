// File layout, little-endian: "YOKESTA1" | u64 header size | header (JSON) | tensors' bytes | u32 CRC-32 of all before.
#include "server/engine/checkpoint/state.h"

#include <sys/stat.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>

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
constexpr TypeName kTypes[] = {{at::kFloat, "float32"}, {at::kHalf, "float16"}, {at::kBFloat16, "bfloat16"}, {at::kDouble, "float64"},
                               {at::kLong, "int64"},    {at::kInt, "int32"},    {at::kByte, "uint8"},        {at::kBool, "bool"}};

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The header if the file verifies whole, else the reason.
absl::StatusOr<json> Verify(const std::string& bytes) {
  if (bytes.size() < kMagicSize + 12 || bytes.compare(0, kMagicSize, kMagic) != 0) return absl::DataLossError("it is no training state or truncated");
  uint32_t stored;
  std::memcpy(&stored, bytes.data() + bytes.size() - 4, 4);
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  if (formats::Crc32(absl::MakeSpan(data, bytes.size() - 4)) != stored) return absl::DataLossError("its checksum differs");
  uint64_t size;
  std::memcpy(&size, bytes.data() + kMagicSize, 8);
  if (size > bytes.size() - kMagicSize - 12) return absl::DataLossError("its header is too long");
  json header = json::parse(bytes.begin() + kMagicSize + 8, bytes.begin() + kMagicSize + 8 + size, nullptr, false);
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
    state.numbers = header.at("numbers").get<std::map<std::string, double>>();
    state.strings = header.at("strings").get<std::map<std::string, std::string>>();
    for (const json& entry : header.at("tensors")) {
      const std::string type_name = entry.at("type").get<std::string>();
      const TypeName* type = nullptr;
      for (const TypeName& known : kTypes) {
        if (type_name == known.name) type = &known;
      }
      if (type == nullptr) return absl::DataLossError("it has a tensor of an unknown type");
      at::Tensor tensor = at::empty(entry.at("shape").get<std::vector<int64_t>>(), at::TensorOptions(type->type));
      const uint64_t offset = entry.at("offset").get<uint64_t>();
      if (offset > end - begin || tensor.nbytes() > end - begin - offset) return absl::DataLossError("it has a tensor outside the file");
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
  if (mkdir(dir.c_str(), 0755) != 0 && errno != EEXIST) return absl::ErrnoToStatus(errno, absl::StrCat("cannot create ", dir));
  int64_t generations[2];
  for (int i = 0; i < 2; ++i) generations[i] = PeekGeneration(absl::StrCat(dir, "/", kNames[i]));
  const int older = generations[0] <= generations[1] ? 0 : 1;
  state.generation = std::max(generations[0], generations[1]) + 1;

  json tensors = json::array();
  std::string data;
  for (const auto& [name, tensor] : state.tensors) {
    const at::Tensor plain = tensor.detach().cpu().contiguous();
    const char* type = nullptr;
    for (const TypeName& known : kTypes) {
      if (known.type == plain.scalar_type()) type = known.name;
    }
    if (type == nullptr) return absl::InternalError(absl::StrCat("the state's tensor ", name, " is of an unknown type"));
    tensors.push_back({{"name", name}, {"type", type}, {"shape", plain.sizes().vec()}, {"offset", data.size()}});
    data.append(static_cast<const char*>(plain.data_ptr()), plain.nbytes());
  }
  const std::string header =
      json{{"generation", state.generation}, {"numbers", state.numbers}, {"strings", state.strings}, {"tensors", tensors}}.dump();
  const uint64_t header_size = header.size();
  std::string bytes(kMagic, kMagicSize);
  bytes.append(reinterpret_cast<const char*>(&header_size), 8);
  bytes += header;
  bytes += data;
  const uint32_t crc = formats::Crc32(absl::MakeSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  AtomicFile file(absl::StrCat(dir, "/", kNames[older]));
  file.Write(bytes.data(), bytes.size());
  file.Write(&crc, 4);
  return file.Commit();
}

absl::StatusOr<TrainState> LoadState(const std::string& dir, std::string* warning) {
  std::optional<TrainState> best;
  std::string damaged;
  bool any = false;
  for (const char* name : kNames) {
    const std::string path = absl::StrCat(dir, "/", name);
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) continue;
    any = true;
    auto state = Decode(ReadAll(path));
    if (!state.ok()) {
      absl::StrAppend(&damaged, damaged.empty() ? "" : "; ", path, ": ", state.status().message());
    } else if (!best || state->generation > best->generation) {
      best = *std::move(state);
    }
  }
  if (!any) return absl::NotFoundError(absl::StrCat(dir, ": no training state there (a.ckpt, b.ckpt)"));
  if (!best) return absl::DataLossError(absl::StrCat("no training state verifies: ", damaged));
  if (warning != nullptr && !damaged.empty()) *warning = absl::StrCat("a damaged training state is passed over: ", damaged);
  return *std::move(best);
}

}  // namespace yoke::engine
