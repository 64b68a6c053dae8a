// What an image file says about itself before any pixel is decoded: format, size, orientation.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace yoke::formats {

enum class ImageFormat { kJpeg, kPng, kBmp, kWebp, kTiff };

struct ImageHeader {
  ImageFormat format = ImageFormat::kJpeg;
  int width = 0, height = 0;  // px as stored, before `orientation` is applied
  int orientation = 1;        // EXIF tag 274, 1 .. 8; 1 where the file has none
  bool animated = false;      // WebP with more than one frame
  bool swaps_sides() const { return orientation >= 5; }
};

const char* ImageFormatName(ImageFormat format);

// Reads the header at the start of `bytes`, which may be the first part of a longer file.
// InvalidArgument: empty, unknown format ("not a JPEG, PNG, BMP, WebP or TIFF image"), damaged header.
// OutOfRange: `bytes` ends before the header does; pass more if the file is longer. A TIFF directory may lie
// anywhere and WebP's EXIF lies at the end: these usually need the whole file.
absl::StatusOr<ImageHeader> ReadImageHeader(absl::Span<const uint8_t> bytes);

}  // namespace yoke::formats
