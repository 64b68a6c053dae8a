// Reads zip archives as torch.save writes them: stored (uncompressed) entries, zip64 where needed.
// Every offset is checked against the bytes given; nothing is executed or written. Oracle: Python's
// zipfile.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace yoke::formats {

// Holds no copy: the bytes must outlive the reader.
class ZipReader {
 public:
  // InvalidArgument with the reason: not a zip archive, truncated, compressed or encrypted entries,
  // duplicate names, more than 200,000 entries, directories that disagree.
  static absl::StatusOr<ZipReader> Open(absl::Span<const uint8_t> bytes);

  // Names in the order of the central directory.
  const std::vector<std::string>& names() const { return names_; }
  bool Contains(const std::string& name) const { return entries_.contains(name); }
  // The entry's bytes, CRC checked. NotFound; DataLoss if the CRC differs.
  absl::StatusOr<absl::Span<const uint8_t>> Read(const std::string& name) const;

 private:
  struct Entry {
    uint64_t offset = 0, size = 0;  // of the data
    uint32_t crc = 0;
  };
  absl::Status ReadDirectory(uint64_t offset, uint64_t count, uint64_t end);

  absl::Span<const uint8_t> bytes_;
  std::vector<std::string> names_;
  std::map<std::string, Entry> entries_;
};

// CRC-32 as zip and PNG use it (polynomial 0xEDB88320).
// `before`: the result for what comes before these bytes, to go on from.
uint32_t Crc32(absl::Span<const uint8_t> bytes, uint32_t before = 0);

}  // namespace yoke::formats
