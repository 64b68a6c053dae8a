#include <array>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/engine/data/codecs.h"

namespace yoke::engine {
namespace {

using Bytes = absl::Span<const uint8_t>;
using Bgr = std::array<uint8_t, 3>;

uint32_t Read16(Bytes b, size_t at) { return b[at] | b[at + 1] << 8; }
uint32_t Read32(Bytes b, size_t at) { return Read16(b, at) | Read16(b, at + 2) << 16; }

struct BmpLayout {
  int width = 0, height = 0;
  bool top_down = false;
  uint32_t bits = 0, compression = 0, colors = 0;
  size_t palette_at = 0, palette_entry = 4, pixels_at = 0;
  std::array<uint32_t, 3> masks = {0x1f, 0x3e0, 0x7c00};  // b, g, r of 16-bit pixels
};

absl::StatusOr<BmpLayout> ReadLayout(Bytes b) {
  const absl::Status truncated = absl::InvalidArgumentError("truncated BMP");
  if (b.size() < 26) return truncated;
  BmpLayout layout;
  const uint32_t header = Read32(b, 14);
  layout.pixels_at = Read32(b, 10);
  layout.palette_at = 14 + size_t{header};
  if (header == 12) {
    layout.width = static_cast<int>(Read16(b, 18));
    layout.height = static_cast<int>(Read16(b, 20));
    layout.bits = Read16(b, 24);
    layout.palette_entry = 3;
  } else if (header >= 40) {
    if (b.size() < 54) return truncated;
    const auto height = static_cast<int32_t>(Read32(b, 22));
    layout.width = static_cast<int32_t>(Read32(b, 18));
    layout.height = std::abs(height);
    layout.top_down = height < 0;
    layout.bits = Read16(b, 28);
    layout.compression = Read32(b, 30);
    layout.colors = Read32(b, 46);
  } else {
    return absl::InvalidArgumentError("BMP with an unknown header");
  }
  const bool has_masks = layout.compression == 3 && (layout.bits == 16 || layout.bits == 32);
  if (layout.compression != 0 && !has_masks) return absl::InvalidArgumentError("compressed BMP is not supported");
  if (has_masks) {
    if (b.size() < 66) return truncated;
    for (int i = 0; i < 3; ++i) layout.masks[2 - i] = Read32(b, 54 + 4 * i);
    if (layout.bits == 32 && layout.masks != std::array<uint32_t, 3>{0xff, 0xff00, 0xff0000}) {
      return absl::InvalidArgumentError("BMP with unusual colour masks is not supported");
    }
  }
  return layout;
}

uint8_t Scale(uint32_t pixel, uint32_t mask) {
  if (mask == 0) return 0;
  const int shift = __builtin_ctz(mask);
  const uint32_t top = mask >> shift;
  // As OpenCV does: the value moves to the high bits, the low ones stay 0.
  uint32_t value = (pixel & mask) >> shift;
  for (uint32_t full = top; full < 0x80; full = full << 1 | 1) value <<= 1;
  return static_cast<uint8_t>(value);
}

}  // namespace

absl::StatusOr<cv::Mat> DecodeBmp(Bytes b) {
  absl::StatusOr<BmpLayout> layout = ReadLayout(b);
  if (!layout.ok()) return layout.status();
  const uint32_t bits = layout->bits;
  if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32) {
    return absl::InvalidArgumentError(absl::StrCat("BMP with ", bits, " bits a pixel is not supported"));
  }
  std::array<Bgr, 256> palette{};
  if (bits <= 8) {
    const uint32_t full = 1u << bits;
    const uint32_t count = layout->colors == 0 || layout->colors > full ? full : layout->colors;
    if (layout->palette_at + count * layout->palette_entry > b.size()) return absl::InvalidArgumentError("truncated BMP");
    for (uint32_t i = 0; i < count; ++i) {
      const uint8_t* entry = b.data() + layout->palette_at + i * layout->palette_entry;
      palette[i] = {entry[0], entry[1], entry[2]};
    }
  }
  const size_t stride = (size_t{bits} * static_cast<size_t>(layout->width) + 31) / 32 * 4;
  if (layout->pixels_at > b.size() || (b.size() - layout->pixels_at) / stride < static_cast<size_t>(layout->height)) {
    return absl::InvalidArgumentError("truncated BMP");
  }
  cv::Mat image(layout->height, layout->width, CV_8UC3);
  for (int y = 0; y < layout->height; ++y) {
    const uint8_t* in = b.data() + layout->pixels_at + static_cast<size_t>(y) * stride;
    uint8_t* out = image.ptr(layout->top_down ? y : layout->height - 1 - y);
    for (int x = 0; x < layout->width; ++x, out += 3) {
      Bgr pixel;
      if (bits <= 8) {
        const int per_byte = 8 / static_cast<int>(bits);
        const int shift = (per_byte - 1 - x % per_byte) * static_cast<int>(bits);
        pixel = palette[in[x / per_byte] >> shift & ((1u << bits) - 1)];
      } else if (bits == 16) {
        const uint32_t value = in[2 * x] | in[2 * x + 1] << 8;
        for (int c = 0; c < 3; ++c) pixel[c] = Scale(value, layout->masks[c]);
      } else {
        const uint8_t* p = in + static_cast<size_t>(x) * (bits / 8);
        pixel = {p[0], p[1], p[2]};
      }
      out[0] = pixel[0], out[1] = pixel[1], out[2] = pixel[2];
    }
  }
  return image;
}

}  // namespace yoke::engine
