// Any bytes as the beginning of an image: a size and an orientation that make sense, or a reason;
// and what a prefix says, the whole says too.
#include "common/formats/image_header.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::Span<const uint8_t> bytes(data, size);
  const auto header = yoke::formats::ReadImageHeader(bytes);
  if (!header.ok()) {
    yoke::fuzz::CheckRefusal(header.status());
    return 0;
  }
  YOKE_CHECK(header->width > 0 && header->height > 0);
  YOKE_CHECK(header->orientation >= 1 && header->orientation <= 8);
  YOKE_CHECK(yoke::formats::ImageFormatName(header->format)[0] != '\0');
  const auto half = yoke::formats::ReadImageHeader(bytes.subspan(0, size / 2));
  if (half.ok()) YOKE_CHECK(half->width == header->width && half->height == header->height);
  return 0;
}
