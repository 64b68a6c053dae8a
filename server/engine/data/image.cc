#include "server/engine/data/image.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/formats/image_header.h"
#include "opencv2/imgproc.hpp"
#include "server/engine/data/codecs.h"
#include "server/engine/data/file_bytes.h"

namespace yoke::engine {
namespace {

using formats::ImageFormat;
using formats::ImageHeader;

constexpr int64_t kPixelsMax = 100'000'000;
constexpr size_t kHeaderBytes = 64 * 1024;

absl::StatusOr<ImageHeader> CheckedHeader(absl::Span<const uint8_t> bytes, int64_t max_pixels) {
  YOKE_ASSIGN_OR_RETURN(ImageHeader header, formats::ReadImageHeader(bytes));
  if (int64_t{header.width} * header.height > max_pixels) {
    return absl::InvalidArgumentError(absl::StrCat("too large: ", header.width, "x", header.height,
                                                   " px, the limit is ", max_pixels, " pixels"));
  }
  return header;
}

absl::Status Invalid(const absl::Status& status) {
  return status.ok() ? status : absl::InvalidArgumentError(status.message());
}

absl::StatusOr<cv::Mat> DecodeStored(absl::Span<const uint8_t> bytes, const ImageHeader& header,
                                     JpegDecoder* jpegs) {
  switch (header.format) {
    case ImageFormat::kJpeg:
      if (jpegs != nullptr && IsCommonJpeg(bytes)) {
        cv::Mat image(header.height, header.width, CV_8UC3);
        if (jpegs->Decode(bytes.data(), bytes.size(), header.width, header.height, image.data))
          return image;
      }
      return DecodeJpeg(bytes);
    case ImageFormat::kPng:
      return DecodePng(bytes);
    case ImageFormat::kBmp:
      return DecodeBmp(bytes);
    case ImageFormat::kWebp:
      if (header.animated) return absl::InvalidArgumentError("animated WebP is not supported");
      return DecodeWebp(bytes);
    case ImageFormat::kTiff:
      return DecodeTiff(bytes);
  }
  return absl::InvalidArgumentError("unsupported format");
}

// EXIF orientation, tag 274: where the stored first row and column belong.
cv::Mat Orient(const cv::Mat& image, int orientation) {
  cv::Mat out = image;
  if (orientation >= 5) cv::transpose(image, out);
  switch (orientation) {
    case 2:
    case 6:
      cv::flip(out, out, 1);
      break;
    case 4:
    case 8:
      cv::flip(out, out, 0);
      break;
    case 3:
    case 7:
      cv::flip(out, out, -1);
      break;
    default:
      break;
  }
  return out;
}

cv::Mat ResizeTo(const cv::Mat& image, int width, int height) {
  if (image.cols == width && image.rows == height) return image;
  cv::Mat out;
  cv::resize(image, out, cv::Size(width, height), 0, 0, cv::INTER_LINEAR);
  return out;
}

}  // namespace

bool HasImageExtension(const std::string& path) {
  const size_t dot = path.rfind('.');
  if (dot == std::string::npos || path.find('/', dot) != std::string::npos) return false;
  const std::string extension = absl::AsciiStrToLower(path.substr(dot + 1));
  for (const char* known : {"jpg", "jpeg", "png", "bmp", "webp", "tif", "tiff"}) {
    if (extension == known) return true;
  }
  return false;
}

absl::StatusOr<cv::Mat> DecodeImage(absl::Span<const uint8_t> bytes, int64_t max_pixels,
                                    JpegDecoder* jpegs) {
  absl::StatusOr<ImageHeader> header = CheckedHeader(bytes, max_pixels);
  if (!header.ok()) return Invalid(header.status());
  try {
    absl::StatusOr<cv::Mat> stored = DecodeStored(bytes, *header, jpegs);
    if (!stored.ok()) return Invalid(stored.status());
    // libtiff applies its own orientation tag.
    return header->format == ImageFormat::kTiff ? *stored : Orient(*stored, header->orientation);
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat("cannot be decoded: ", e.what()));
  }
}

absl::StatusOr<cv::Mat> ReadImage(const std::string& path, JpegDecoder* jpegs) {
  YOKE_ASSIGN_OR_RETURN(std::vector<uint8_t> bytes, ReadFileBytes(path));
  absl::StatusOr<cv::Mat> image = DecodeImage(bytes, kPixelsMax, jpegs);
  if (!image.ok())
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", image.status().message()));
  return image;
}

absl::StatusOr<ImageSize> ProbeImageSize(const std::string& path) {
  YOKE_ASSIGN_OR_RETURN(std::vector<uint8_t> bytes, ReadFileBytes(path, kHeaderBytes));
  absl::StatusOr<ImageHeader> header = CheckedHeader(bytes, kPixelsMax);
  if (absl::IsOutOfRange(header.status()) && bytes.size() == kHeaderBytes) {
    YOKE_ASSIGN_OR_RETURN(bytes, ReadFileBytes(path));
    header = CheckedHeader(bytes, kPixelsMax);
  }
  if (!header.ok())
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", header.status().message()));
  // A TIFF's turned sides stay as stored: see DecodeTiff.
  if (header->format != ImageFormat::kTiff && header->swaps_sides()) {
    return ImageSize{header->height, header->width};
  }
  return ImageSize{header->width, header->height};
}

ImageSize ResizedSize(ImageSize size, int imgsz) {
  const double ratio = static_cast<double>(imgsz) / std::max(size.width, size.height);
  if (ratio == 1) return size;
  const auto side = [&](int length) {
    return std::clamp(static_cast<int>(std::ceil(length * ratio)), 1, imgsz);
  };
  return {side(size.width), side(size.height)};
}

cv::Mat ResizeLongSide(const cv::Mat& bgr, int imgsz) {
  const ImageSize size = ResizedSize({bgr.cols, bgr.rows}, imgsz);
  return ResizeTo(bgr, size.width, size.height);
}

cv::Mat ApplyLetterbox(const cv::Mat& bgr, int width, int height, bool scale_up,
                       Letterbox* geometry) {
  double gain =
      std::min(static_cast<double>(width) / bgr.cols, static_cast<double>(height) / bgr.rows);
  if (!scale_up) gain = std::min(gain, 1.0);
  // Half to even, as the reference rounds.
  const int new_width = std::clamp(static_cast<int>(std::nearbyint(bgr.cols * gain)), 1, width);
  const int new_height = std::clamp(static_cast<int>(std::nearbyint(bgr.rows * gain)), 1, height);
  const int left = static_cast<int>(std::nearbyint((width - new_width) / 2.0 - 0.1));
  const int top = static_cast<int>(std::nearbyint((height - new_height) / 2.0 - 0.1));
  const cv::Mat resized = ResizeTo(bgr, new_width, new_height);
  cv::Mat out(height, width, CV_8UC3, cv::Scalar::all(kPadding));
  resized.copyTo(out(cv::Rect(left, top, new_width, new_height)));
  if (geometry != nullptr)
    *geometry = {.gain = gain, .left = left, .top = top, .width = width, .height = height};
  return out;
}

}  // namespace yoke::engine
