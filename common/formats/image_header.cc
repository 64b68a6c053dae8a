#include "common/formats/image_header.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace yoke::formats {
namespace {

using Bytes = absl::Span<const uint8_t>;

uint32_t Read16(Bytes b, size_t at, bool little) {
  return little ? b[at] | b[at + 1] << 8 : b[at] << 8 | b[at + 1];
}
uint32_t Read32(Bytes b, size_t at, bool little) {
  return little ? Read16(b, at, true) | Read16(b, at + 2, true) << 16
                : Read16(b, at, false) << 16 | Read16(b, at + 2, false);
}
bool Has(Bytes b, size_t at, std::string_view text) {
  return b.size() >= at && b.size() - at >= text.size() && std::memcmp(b.data() + at, text.data(), text.size()) == 0;
}

absl::Status Short(const char* what) {
  return absl::OutOfRangeError(absl::StrCat("truncated ", what, ": the file ends inside its header"));
}
absl::Status Damaged(const char* what) {
  return absl::InvalidArgumentError(absl::StrCat("damaged ", what, " header"));
}

struct Ifd {
  uint32_t width = 0, height = 0, orientation = 1;
};

// The first directory of a TIFF structure, which is also how EXIF is stored. False: damaged or cut off.
bool ReadIfd(Bytes b, Ifd& out) {
  if (b.size() < 8) return false;
  const bool little = Has(b, 0, "II");
  if (!little && !Has(b, 0, "MM")) return false;
  const size_t offset = Read32(b, 4, little);
  if (offset < 8 || offset > b.size() - 2) return false;
  const size_t entries = Read16(b, offset, little);
  for (size_t i = 0; i < entries; ++i) {
    const size_t at = offset + 2 + 12 * i;
    if (at + 12 > b.size()) return false;
    const uint32_t tag = Read16(b, at, little), type = Read16(b, at + 2, little);
    if (type != 3 && type != 4) continue;
    const uint32_t value = type == 3 ? Read16(b, at + 8, little) : Read32(b, at + 8, little);
    if (tag == 256) out.width = value;
    if (tag == 257) out.height = value;
    if (tag == 274 && value >= 1 && value <= 8) out.orientation = value;
  }
  return true;
}

absl::StatusOr<ImageHeader> ReadJpeg(Bytes b) {
  ImageHeader header{.format = ImageFormat::kJpeg};
  size_t at = 2;
  while (true) {
    if (at + 4 > b.size()) return Short("JPEG");
    if (b[at] != 0xff) return Damaged("JPEG");
    const uint8_t marker = b[at + 1];
    if (marker == 0xff) {  // fill byte
      ++at;
      continue;
    }
    if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) {
      at += 2;
      continue;
    }
    if (marker == 0xd8 || marker == 0xd9 || marker == 0xda) return Damaged("JPEG");
    const size_t length = Read16(b, at + 2, false);
    if (length < 2) return Damaged("JPEG");
    const size_t body = at + 4;
    const bool is_frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (is_frame) {
      if (body + 5 > b.size()) return Short("JPEG");
      header.height = static_cast<int>(Read16(b, body + 1, false));
      header.width = static_cast<int>(Read16(b, body + 3, false));
      return header;
    }
    if (marker == 0xe1 && Has(b, body, std::string_view("Exif\0\0", 6)) && length >= 8) {
      Ifd ifd;
      const size_t end = std::min(b.size(), at + 2 + length);
      ReadIfd(b.subspan(body + 6, end - body - 6), ifd);
      header.orientation = static_cast<int>(ifd.orientation);
    }
    at += 2 + length;
  }
}

absl::StatusOr<ImageHeader> ReadPng(Bytes b) {
  if (b.size() < 33) return Short("PNG");
  if (!Has(b, 12, "IHDR")) return Damaged("PNG");
  ImageHeader header{.format = ImageFormat::kPng};
  const uint32_t width = Read32(b, 16, false), height = Read32(b, 20, false);
  if (width > INT32_MAX || height > INT32_MAX) return Damaged("PNG");
  header.width = static_cast<int>(width);
  header.height = static_cast<int>(height);
  for (size_t at = 33; at + 8 <= b.size();) {
    const size_t length = Read32(b, at, false);
    if (Has(b, at + 4, "IDAT") || length > INT32_MAX) break;
    if (Has(b, at + 4, "eXIf") && at + 8 + length <= b.size()) {
      Ifd ifd;
      ReadIfd(b.subspan(at + 8, length), ifd);
      header.orientation = static_cast<int>(ifd.orientation);
    }
    at += 12 + length;
  }
  return header;
}

absl::StatusOr<ImageHeader> ReadBmp(Bytes b) {
  if (b.size() < 26) return Short("BMP");
  ImageHeader header{.format = ImageFormat::kBmp};
  if (Read32(b, 14, true) == 12) {
    header.width = static_cast<int>(Read16(b, 18, true));
    header.height = static_cast<int>(Read16(b, 20, true));
    return header;
  }
  const int32_t width = static_cast<int32_t>(Read32(b, 18, true));
  const int32_t height = static_cast<int32_t>(Read32(b, 22, true));
  if (width <= 0 || height == 0 || height == INT32_MIN) return Damaged("BMP");
  header.width = width;
  header.height = std::abs(height);
  return header;
}

// The EXIF chunk lies behind the pixels. False: not within `b`.
bool ReadWebpExif(Bytes b, ImageHeader& header) {
  for (size_t at = 12; at + 8 <= b.size();) {
    const size_t length = Read32(b, at + 4, true);
    if (Has(b, at, "EXIF")) {
      if (at + 8 + length > b.size()) return false;
      Bytes exif = b.subspan(at + 8, length);
      if (Has(exif, 0, std::string_view("Exif\0\0", 6))) exif.remove_prefix(6);
      Ifd ifd;
      ReadIfd(exif, ifd);
      header.orientation = static_cast<int>(ifd.orientation);
      return true;
    }
    at += 8 + length + (length & 1);
  }
  return false;
}

absl::StatusOr<ImageHeader> ReadWebp(Bytes b) {
  if (b.size() < 30) return Short("WebP");
  ImageHeader header{.format = ImageFormat::kWebp};
  if (Has(b, 12, "VP8X")) {
    header.animated = b[20] & 2;
    const bool has_exif = b[20] & 8;
    if (has_exif && !ReadWebpExif(b, header) && b.size() < size_t{Read32(b, 4, true)} + 8) return Short("WebP");
    header.width = 1 + static_cast<int>(b[24] | b[25] << 8 | b[26] << 16);
    header.height = 1 + static_cast<int>(b[27] | b[28] << 8 | b[29] << 16);
  } else if (Has(b, 12, "VP8L")) {
    if (b[20] != 0x2f) return Damaged("WebP");
    const uint32_t bits = Read32(b, 21, true);
    header.width = 1 + static_cast<int>(bits & 0x3fff);
    header.height = 1 + static_cast<int>(bits >> 14 & 0x3fff);
  } else if (Has(b, 12, "VP8 ")) {
    if (b[23] != 0x9d || b[24] != 0x01 || b[25] != 0x2a) return Damaged("WebP");
    header.width = static_cast<int>(Read16(b, 26, true) & 0x3fff);
    header.height = static_cast<int>(Read16(b, 28, true) & 0x3fff);
  } else {
    return Damaged("WebP");
  }
  return header;
}

absl::StatusOr<ImageHeader> ReadTiff(Bytes b) {
  Ifd ifd;
  if (b.size() < 8) return Short("TIFF");
  if (!ReadIfd(b, ifd)) return Short("TIFF");
  if (ifd.width == 0 || ifd.height == 0 || ifd.width > INT32_MAX || ifd.height > INT32_MAX) return Damaged("TIFF");
  return ImageHeader{.format = ImageFormat::kTiff,
                     .width = static_cast<int>(ifd.width),
                     .height = static_cast<int>(ifd.height),
                     .orientation = static_cast<int>(ifd.orientation)};
}

absl::StatusOr<ImageHeader> ReadAny(Bytes b) {
  if (b.empty()) return absl::InvalidArgumentError("empty file (0 bytes)");
  if (Has(b, 0, "\xff\xd8\xff")) return ReadJpeg(b);
  if (Has(b, 0, std::string_view("\x89PNG\r\n\x1a\n", 8))) return ReadPng(b);
  if (Has(b, 0, "RIFF") && Has(b, 8, "WEBP")) return ReadWebp(b);
  if (Has(b, 0, std::string_view("II*\0", 4)) || Has(b, 0, std::string_view("MM\0*", 4))) return ReadTiff(b);
  if (Has(b, 0, "BM")) return ReadBmp(b);
  if (b.size() < 12) return absl::OutOfRangeError("truncated: too short for an image");
  return absl::InvalidArgumentError("not a JPEG, PNG, BMP, WebP or TIFF image");
}

}  // namespace

const char* ImageFormatName(ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg: return "JPEG";
    case ImageFormat::kPng: return "PNG";
    case ImageFormat::kBmp: return "BMP";
    case ImageFormat::kWebp: return "WebP";
    case ImageFormat::kTiff: return "TIFF";
  }
  return "image";
}

absl::StatusOr<ImageHeader> ReadImageHeader(Bytes bytes) {
  absl::StatusOr<ImageHeader> header = ReadAny(bytes);
  if (header.ok() && (header->width <= 0 || header->height <= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat(ImageFormatName(header->format), " of ", header->width, "x", header->height, " px"));
  }
  return header;
}

}  // namespace yoke::formats
