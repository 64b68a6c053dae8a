// Decoding of images to 8-bit BGR, the same pixels the reference sees.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "opencv2/core/mat.hpp"
#include "server/engine/cuda/jpeg_decoder.h"

namespace yoke::engine {

// Grey of what no image covers.
inline constexpr uint8_t kPadding = 114;

// jpg, jpeg, png, bmp, webp, tif, tiff; lower or upper case.
bool HasImageExtension(const std::string& path);

// Decodes by magic bytes, not by extension; applies EXIF orientation; grey and alpha become BGR.
// InvalidArgument with the reason (empty file, truncated, unsupported format, over `max_pixels`).
// jpegs: may be null; is offered whole JPEGs in YCbCr or grey, whose pixels then differ from the
// reference's by up to three levels in the mean.
absl::StatusOr<cv::Mat> DecodeImage(absl::Span<const uint8_t> bytes,
                                    int64_t max_pixels = 100'000'000, JpegDecoder* jpegs = nullptr);
// NotFound if there is no such file; else as DecodeImage, the message starting with the path.
absl::StatusOr<cv::Mat> ReadImage(const std::string& path, JpegDecoder* jpegs = nullptr);

struct ImageSize {
  int width = 0, height = 0;
};
// From the header alone, EXIF orientation applied.
absl::StatusOr<ImageSize> ProbeImageSize(const std::string& path);

// The long side becomes `imgsz` (also upwards), the other min(ceil(side * ratio), imgsz).
ImageSize ResizedSize(ImageSize size, int imgsz);
// An image of ResizedSize, bilinear.
cv::Mat ResizeLongSide(const cv::Mat& bgr, int imgsz);

struct Letterbox {
  double gain = 1;            // resized / original
  int left = 0, top = 0;      // padding, px
  int width = 0, height = 0;  // of the padded image
};
// Centres `bgr` on a width x height canvas of kPadding, shrinking (and growing if `scale_up`) to
// fit.
cv::Mat ApplyLetterbox(const cv::Mat& bgr, int width, int height, bool scale_up,
                       Letterbox* geometry);

}  // namespace yoke::engine
