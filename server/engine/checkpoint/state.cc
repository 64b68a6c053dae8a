// File layout, little-endian: "YOKESTA1" | u64 header size | header (JSON) | tensors' bytes | u32
// CRC-32 of all before.
#include "server/engine/checkpoint/state.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/formats/zip_reader.h"
#include "server/engine/checkpoint/atomic_file.h"
#include "server/engine/checkpoint/state_layout.h"

namespace yoke::engine {
namespace {

constexpr char kMagic[] = "YOKESTA1";
constexpr uint64_t kMagicSize = 8, kStartSize = kMagicSize + 8, kCrcSize = 4;
constexpr uint64_t kHeaderMax = 64 << 20;
constexpr size_t kChunk = 1 << 20;
const char* const kNames[] = {"a.ckpt", "b.ckpt"};

struct TypeName {
  at::ScalarType type;
  const char* name;
};
constexpr TypeName kTypes[] = {{at::kFloat, "float32"},     {at::kHalf, "float16"},
                               {at::kBFloat16, "bfloat16"}, {at::kDouble, "float64"},
                               {at::kLong, "int64"},        {at::kInt, "int32"},
                               {at::kByte, "uint8"},        {at::kBool, "bool"}};

const char* NameOf(at::ScalarType type) {
  for (const TypeName& known : kTypes) {
    if (known.type == type) return known.name;
  }
  return nullptr;
}

at::ScalarType ScalarTypeOf(const std::string& name) {
  for (const TypeName& known : kTypes) {
    if (name == known.name) return known.type;
  }
  return at::kFloat;
}

// A state's file whose every byte is right.
struct Verified {
  std::string path;
  StateLayout layout;
  uint64_t data_begin = 0;
};

absl::Status Lost(const char* what) { return absl::DataLossError(what); }

absl::StatusOr<Verified> Verify(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamoff end = file ? static_cast<std::streamoff>(file.tellg()) : -1;
  if (end < 0) return Lost("it cannot be read");
  const auto size = static_cast<uint64_t>(end);
  char start[kStartSize] = {};
  file.seekg(0);
  if (size < kStartSize + kCrcSize || !file.read(start, sizeof start) ||
      std::memcmp(start, kMagic, kMagicSize) != 0)
    return Lost("it is no training state or truncated");
  uint64_t header_size;
  std::memcpy(&header_size, start + kMagicSize, sizeof header_size);
  const uint64_t room = size - kStartSize - kCrcSize;
  if (header_size > std::min(room, kHeaderMax)) return Lost("its header is too long");

  std::string header;
  std::vector<char> chunk(kChunk);
  uint32_t crc = 0, stored = 0;
  file.seekg(0);
  for (uint64_t at = 0; at < size - kCrcSize;) {
    const auto count = std::min<uint64_t>(kChunk, size - kCrcSize - at);
    if (!file.read(chunk.data(), static_cast<std::streamsize>(count))) return Lost("it breaks off");
    crc = formats::Crc32({reinterpret_cast<const uint8_t*>(chunk.data()), count}, crc);
    const uint64_t from = std::clamp(kStartSize, at, at + count),
                   to = std::clamp(kStartSize + header_size, at, at + count);
    header.append(chunk.data() + (from - at), to - from);
    at += count;
  }
  if (!file.read(reinterpret_cast<char*>(&stored), sizeof stored)) return Lost("it breaks off");
  if (crc != stored) return Lost("its checksum differs");
  YOKE_ASSIGN_OR_RETURN(StateLayout layout, DecodeLayout(header, room - header_size));
  return Verified{path, std::move(layout), kStartSize + header_size};
}

absl::StatusOr<TrainState> ReadTensors(Verified verified) {
  TrainState state;
  state.generation = verified.layout.generation;
  state.numbers = std::move(verified.layout.numbers);
  state.strings = std::move(verified.layout.strings);
  std::ifstream file(verified.path, std::ios::binary);
  for (const StateTensor& entry : verified.layout.tensors) {
    const at::Tensor tensor = at::empty(entry.shape, at::TensorOptions(ScalarTypeOf(entry.type)));
    file.seekg(static_cast<std::streamoff>(verified.data_begin + entry.offset));
    if (!file.read(static_cast<char*>(tensor.data_ptr()),
                   static_cast<std::streamsize>(entry.bytes)))
      return absl::DataLossError(absl::StrCat(verified.path, ": it broke off while it was read"));
    state.tensors[entry.name] = tensor;
  }
  return state;
}

// The generation that a file's header claims; 0 if it claims none.
int64_t PeekGeneration(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char start[kStartSize];
  if (!file.read(start, sizeof start) || std::memcmp(start, kMagic, kMagicSize) != 0) return 0;
  uint64_t size;
  std::memcpy(&size, start + kMagicSize, sizeof size);
  if (size > kHeaderMax) return 0;
  std::string text(size, '\0');
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) return 0;
  const auto layout = DecodeLayout(text, INT64_MAX);
  return layout.ok() ? layout->generation : 0;
}

}  // namespace

absl::Status SaveState(const std::string& dir, TrainState& state) {
  if (mkdir(dir.c_str(), 0755) != 0 && errno != EEXIST)
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot create ", dir));
  int64_t generations[2];
  for (int i = 0; i < 2; ++i) generations[i] = PeekGeneration(absl::StrCat(dir, "/", kNames[i]));
  const int older = generations[0] <= generations[1] ? 0 : 1;
  state.generation = std::max(generations[0], generations[1]) + 1;

  StateLayout layout{
      .generation = state.generation, .numbers = state.numbers, .strings = state.strings};
  std::vector<at::Tensor> plain;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : state.tensors) {
    plain.push_back(tensor.detach().cpu().contiguous());
    const char* type = NameOf(tensor.scalar_type());
    if (type == nullptr)
      return absl::InternalError(
          absl::StrCat("the state's tensor ", name, " is of an unknown type"));
    layout.tensors.push_back({.name = name,
                              .type = type,
                              .shape = tensor.sizes().vec(),
                              .offset = offset,
                              .bytes = plain.back().nbytes()});
    offset += plain.back().nbytes();
  }
  const std::string text = EncodeLayout(layout);
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
  std::optional<Verified> newest;
  std::string damaged;
  bool is_any = false;
  for (const char* name : kNames) {
    const std::string path = absl::StrCat(dir, "/", name);
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) continue;
    is_any = true;
    absl::StatusOr<Verified> file = Verify(path);
    if (!file.ok()) {
      absl::StrAppend(&damaged, damaged.empty() ? "" : "; ", path, ": ", file.status().message());
    } else if (!newest.has_value() || file->layout.generation > newest->layout.generation) {
      newest = *std::move(file);
    }
  }
  if (!is_any)
    return absl::NotFoundError(absl::StrCat(dir, ": no training state there (a.ckpt, b.ckpt)"));
  if (!newest.has_value())
    return absl::DataLossError(absl::StrCat("no training state verifies: ", damaged));
  if (warning != nullptr && !damaged.empty()) {
    *warning =
        absl::StrCat("a damaged training state is passed over (", damaged, "); ", newest->path,
                     " (generation ", newest->layout.generation, ") is used instead");
  }
  return ReadTensors(*std::move(newest));
}

}  // namespace yoke::engine
