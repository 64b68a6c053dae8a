// Builds small zip archives and pickles byte by byte, well formed or not.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "common/formats/zip_reader.h"

namespace yoke::formats {

inline absl::Span<const uint8_t> AsBytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

template <typename T>
void PutNumber(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

struct ZipOptions {
  uint16_t method = 0, flags = 0;
  bool zip64 = false;
};

// Stored entries, a central directory and its end; with zip64 the 64-bit directory too.
inline std::string BuildZip(const std::vector<std::pair<std::string, std::string>>& entries,
                            const ZipOptions& options = {}) {
  std::string zip, directory;
  for (const auto& entry : entries) {
    const std::string &name = entry.first, &data = entry.second;
    const uint32_t crc = Crc32(AsBytes(data)), size = data.size(), offset = zip.size();
    const auto common = [&](std::string& to, uint32_t shown_size) {
      PutNumber<uint16_t>(to, options.flags);
      PutNumber<uint16_t>(to, options.method);
      PutNumber<uint32_t>(to, 0);  // time, date
      PutNumber(to, crc);
      PutNumber(to, shown_size);
      PutNumber(to, shown_size);
      PutNumber<uint16_t>(to, name.size());
    };
    zip += "PK\x03\x04";
    PutNumber<uint16_t>(zip, 20);
    common(zip, size);
    PutNumber<uint16_t>(zip, 0);
    zip += name + data;

    directory += "PK\x01\x02";
    PutNumber<uint32_t>(directory, 20 | 20 << 16);
    common(directory, options.zip64 ? 0xFFFFFFFF : size);
    PutNumber<uint16_t>(directory, options.zip64 ? 28 : 0);
    PutNumber<uint16_t>(directory, 0);
    PutNumber<uint32_t>(directory, 0);
    PutNumber<uint32_t>(directory, 0);
    PutNumber<uint32_t>(directory, options.zip64 ? 0xFFFFFFFF : offset);
    directory += name;
    if (options.zip64) {
      PutNumber<uint16_t>(directory, 1);
      PutNumber<uint16_t>(directory, 24);
      PutNumber<uint64_t>(directory, size);
      PutNumber<uint64_t>(directory, size);
      PutNumber<uint64_t>(directory, offset);
    }
  }
  const uint64_t begin = zip.size(), count = entries.size();
  zip += directory;
  if (options.zip64) {
    const uint64_t end64 = zip.size();
    zip += "PK\x06\x06";
    PutNumber<uint64_t>(zip, 44);
    PutNumber<uint32_t>(zip, 45 | 45 << 16);
    PutNumber<uint64_t>(zip, 0);
    for (uint64_t value : {count, count, uint64_t{directory.size()}, begin}) PutNumber(zip, value);
    zip += "PK\x06\x07";
    PutNumber<uint32_t>(zip, 0);
    PutNumber<uint64_t>(zip, end64);
    PutNumber<uint32_t>(zip, 1);
  }
  zip += "PK\x05\x06";
  PutNumber<uint32_t>(zip, 0);
  PutNumber<uint16_t>(zip, options.zip64 ? 0xFFFF : count);
  PutNumber<uint16_t>(zip, options.zip64 ? 0xFFFF : count);
  PutNumber<uint32_t>(zip, options.zip64 ? 0xFFFFFFFF : directory.size());
  PutNumber<uint32_t>(zip, options.zip64 ? 0xFFFFFFFF : begin);
  PutNumber<uint16_t>(zip, 0);
  return zip;
}

// A protocol-2 pickle of `body`, which leaves one value.
inline std::string Pickle(const std::string& body) { return "\x80\x02" + body + "."; }

inline std::string PickledText(const std::string& text) {
  std::string bytes = "X";
  PutNumber<uint32_t>(bytes, text.size());
  return bytes + text;
}

// module.name(*()) of an empty tuple.
inline std::string PickledObject(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n)\x81";
}

inline std::string PickledIntegers(const std::vector<int64_t>& values) {
  std::string bytes = "(";
  for (const int64_t value : values) {
    bytes += "\x8a\x08";
    PutNumber(bytes, value);
  }
  return bytes + "t";
}

// A tensor as torch.save pickles it: _rebuild_tensor_v2(storage, offset, sizes, strides, ...).
struct TensorOptions {
  std::string kind = "FloatStorage", key = "0";
  int64_t count = 0;  // of the storage
  std::vector<int64_t> sizes, strides;
  int32_t offset = 0;
};
inline std::string PickledTensor(const TensorOptions& tensor) {
  std::string bytes = "ctorch._utils\n_rebuild_tensor_v2\n((" + PickledText("storage") +
                      "ctorch\n" + tensor.kind + "\n" + PickledText(tensor.key) +
                      PickledText("cpu") + "\x8a\x08";
  PutNumber(bytes, tensor.count);
  bytes += "tQJ";
  PutNumber(bytes, tensor.offset);
  return bytes + PickledIntegers(tensor.sizes) + PickledIntegers(tensor.strides) +
         "\x89"
         "ccollections\nOrderedDict\n)RtR";
}

// {name: value, ...}; values are pickled already.
inline std::string PickledDict(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string bytes = "}(";
  for (const auto& [name, value] : entries) bytes += PickledText(name) + value;
  return bytes + "u";
}

}  // namespace yoke::formats
