#include "common/formats/zip_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/formats/printable.h"

namespace yoke::formats {
namespace {

// Signatures and sizes of PKWARE's APPNOTE 6.3.
constexpr uint32_t kLocalHeader = 0x04034b50, kCentralHeader = 0x02014b50, kEnd = 0x06054b50,
                   kEnd64 = 0x06064b50, kEnd64Locator = 0x07064b50;
constexpr size_t kLocalHeaderSize = 30, kCentralHeaderSize = 46, kEndSize = 22, kEnd64Size = 56,
                 kEnd64LocatorSize = 20;
constexpr size_t kMaxComment = 65535;
constexpr uint64_t kMaxEntries = 200000;
constexpr uint16_t kZip64Extra = 1;

template <typename T>
T Load(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Whether [offset, offset + size) lies inside `total` bytes, without overflow.
bool Inside(uint64_t offset, uint64_t size, uint64_t total) {
  return offset <= total && size <= total - offset;
}

std::array<std::array<uint32_t, 256>, 8> MakeCrcTables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0);
    tables[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; ++i) {
    for (int t = 1; t < 8; ++t)
      tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 255];
  }
  return tables;
}

}  // namespace

uint32_t Crc32(absl::Span<const uint8_t> bytes, uint32_t before) {
  static const auto tables = MakeCrcTables();
  uint32_t crc = ~before;
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {  // eight bytes at a time: "slicing by 8"
    const uint32_t low = Load<uint32_t>(&bytes[i]) ^ crc, high = Load<uint32_t>(&bytes[i + 4]);
    crc = tables[7][low & 255] ^ tables[6][(low >> 8) & 255] ^ tables[5][(low >> 16) & 255] ^
          tables[4][low >> 24] ^ tables[3][high & 255] ^ tables[2][(high >> 8) & 255] ^
          tables[1][(high >> 16) & 255] ^ tables[0][high >> 24];
  }
  for (; i < bytes.size(); ++i) crc = (crc >> 8) ^ tables[0][(crc ^ bytes[i]) & 255];
  return ~crc;
}

absl::StatusOr<ZipReader> ZipReader::Open(absl::Span<const uint8_t> bytes) {
  ZipReader reader;
  reader.bytes_ = bytes;
  if (bytes.size() < kEndSize) return absl::InvalidArgumentError("not a zip archive (too short)");
  if (Load<uint32_t>(bytes.data()) != kLocalHeader)
    return absl::InvalidArgumentError("not a zip archive");
  const size_t lowest = bytes.size() - std::min(bytes.size(), kEndSize + kMaxComment);
  size_t end = bytes.size() - kEndSize;
  while (Load<uint32_t>(&bytes[end]) != kEnd) {
    if (end == lowest)
      return absl::InvalidArgumentError("a truncated zip archive (its directory is missing)");
    --end;
  }
  uint64_t count = Load<uint16_t>(&bytes[end + 10]), size = Load<uint32_t>(&bytes[end + 12]),
           offset = Load<uint32_t>(&bytes[end + 16]);
  uint64_t directory_end = end;
  if (count == 0xFFFF || size == 0xFFFFFFFF || offset == 0xFFFFFFFF) {
    if (end < kEnd64LocatorSize || Load<uint32_t>(&bytes[end - kEnd64LocatorSize]) != kEnd64Locator)
      return absl::InvalidArgumentError("a damaged zip archive (no zip64 locator)");
    const uint64_t end64 = Load<uint64_t>(&bytes[end - kEnd64LocatorSize + 8]);
    if (!Inside(end64, kEnd64Size, end) || Load<uint32_t>(&bytes[end64]) != kEnd64)
      return absl::InvalidArgumentError("a damaged zip archive (no zip64 directory)");
    count = Load<uint64_t>(&bytes[end64 + 32]);
    size = Load<uint64_t>(&bytes[end64 + 40]);
    offset = Load<uint64_t>(&bytes[end64 + 48]);
    directory_end = end64;
  }
  if (count > kMaxEntries)
    return absl::InvalidArgumentError(
        absl::StrCat("a zip archive of ", count, " entries; at most ", kMaxEntries, " are read"));
  if (!Inside(offset, size, directory_end))
    return absl::InvalidArgumentError("a truncated zip archive (its directory lies outside)");
  YOKE_RETURN_IF_ERROR(reader.ReadDirectory(offset, count, offset + size));
  return reader;
}

absl::Status ZipReader::ReadDirectory(uint64_t at, uint64_t count, uint64_t end) {
  for (uint64_t i = 0; i < count; ++i) {
    if (!Inside(at, kCentralHeaderSize, end) || Load<uint32_t>(&bytes_[at]) != kCentralHeader)
      return absl::InvalidArgumentError("a damaged zip archive (its directory breaks off)");
    const uint8_t* header = &bytes_[at];
    const uint16_t flags = Load<uint16_t>(header + 8), method = Load<uint16_t>(header + 10);
    const uint16_t name_size = Load<uint16_t>(header + 28),
                   extra_size = Load<uint16_t>(header + 30),
                   comment_size = Load<uint16_t>(header + 32);
    uint64_t packed = Load<uint32_t>(header + 20), size = Load<uint32_t>(header + 24),
             local = Load<uint32_t>(header + 42);
    if (!Inside(at + kCentralHeaderSize, uint64_t{name_size} + extra_size + comment_size, end))
      return absl::InvalidArgumentError("a damaged zip archive (its directory breaks off)");
    const std::string name(reinterpret_cast<const char*>(header + kCentralHeaderSize), name_size);
    const uint8_t* extra = header + kCentralHeaderSize + name_size;
    for (size_t e = 0; e + 4 <= extra_size;) {
      const uint16_t id = Load<uint16_t>(extra + e), length = Load<uint16_t>(extra + e + 2);
      if (e + 4 + length > extra_size) break;
      if (id == kZip64Extra) {
        size_t field = e + 4;
        const size_t field_end = field + length;
        for (auto [value, marker] : {std::pair<uint64_t*, uint64_t>{&size, 0xFFFFFFFF},
                                     {&packed, 0xFFFFFFFF},
                                     {&local, 0xFFFFFFFF}}) {
          if (*value != marker) continue;
          if (field + 8 > field_end)
            return absl::InvalidArgumentError(
                absl::StrCat("a damaged zip archive (sizes of ", Printable(name), ")"));
          *value = Load<uint64_t>(extra + field);
          field += 8;
        }
      }
      e += 4 + length;
    }
    if (flags & 1)
      return absl::InvalidArgumentError(
          absl::StrCat("a zip archive with an encrypted entry (", Printable(name), ")"));
    if (method != 0 || packed != size)
      return absl::InvalidArgumentError(absl::StrCat("a zip archive with a compressed entry (",
                                                     Printable(name),
                                                     "); torch.save stores entries"));
    if (name.empty() || name.find('\0') != std::string::npos)
      return absl::InvalidArgumentError("a zip archive with an entry without a proper name");
    if (!Inside(local, kLocalHeaderSize, bytes_.size()) ||
        Load<uint32_t>(&bytes_[local]) != kLocalHeader)
      return absl::InvalidArgumentError(
          absl::StrCat("a damaged zip archive (no entry where ", Printable(name), " should be)"));
    const uint16_t local_name_size = Load<uint16_t>(&bytes_[local + 26]);
    const uint64_t data =
        local + kLocalHeaderSize + local_name_size + Load<uint16_t>(&bytes_[local + 28]);
    if (local_name_size != name_size ||
        !Inside(local + kLocalHeaderSize, name_size, bytes_.size()) ||
        std::memcmp(&bytes_[local + kLocalHeaderSize], name.data(), name_size) != 0)
      return absl::InvalidArgumentError(absl::StrCat("a damaged zip archive (another entry where ",
                                                     Printable(name), " should be)"));
    if (!Inside(data, size, bytes_.size()))
      return absl::InvalidArgumentError(
          absl::StrCat("a truncated zip archive (", Printable(name), " breaks off)"));
    if (!entries_.emplace(name, Entry{data, size, Load<uint32_t>(header + 16)}).second)
      return absl::InvalidArgumentError(
          absl::StrCat("a zip archive with two entries named ", Printable(name)));
    names_.push_back(name);
    at += kCentralHeaderSize + name_size + extra_size + comment_size;
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Span<const uint8_t>> ZipReader::Read(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end())
    return absl::NotFoundError(absl::StrCat("the archive has no entry ", Printable(name)));
  const auto data = bytes_.subspan(found->second.offset, found->second.size);
  if (Crc32(data) != found->second.crc)
    return absl::DataLossError(
        absl::StrCat("the entry ", Printable(name), " is damaged (its checksum differs)"));
  return data;
}

}  // namespace yoke::formats
