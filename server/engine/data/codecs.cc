#include "server/engine/data/codecs.h"

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "opencv2/imgproc.hpp"
#include "spng.h"
#include "turbojpeg.h"
#include "webp/decode.h"

namespace yoke::engine {
namespace {

// Adobe's inverted CMYK, the only kind in the wild.
cv::Mat CmykToBgr(const cv::Mat& cmyk) {
  cv::Mat bgr(cmyk.rows, cmyk.cols, CV_8UC3);
  for (int y = 0; y < cmyk.rows; ++y) {
    const uint8_t* in = cmyk.ptr(y);
    uint8_t* out = bgr.ptr(y);
    for (int x = 0; x < cmyk.cols; ++x, in += 4, out += 3) {
      const int k = in[3];
      for (int c = 0; c < 3; ++c) out[2 - c] = static_cast<uint8_t>(k - ((255 - in[c]) * k >> 8));
    }
  }
  return bgr;
}

bool EndsAsJpeg(absl::Span<const uint8_t> bytes) {
  return bytes.size() >= 2 && bytes[bytes.size() - 2] == 0xff && bytes[bytes.size() - 1] == 0xd9;
}

}  // namespace

bool IsCommonJpeg(absl::Span<const uint8_t> bytes) {
  const std::unique_ptr<void, int (*)(tjhandle)> handle(tjInitDecompress(), tjDestroy);
  int width = 0, height = 0, subsampling = 0, colorspace = 0;
  return handle != nullptr && EndsAsJpeg(bytes) &&
         tjDecompressHeader3(handle.get(), bytes.data(), bytes.size(), &width, &height,
                             &subsampling, &colorspace) == 0 &&
         (colorspace == TJCS_YCbCr || colorspace == TJCS_GRAY);
}

absl::StatusOr<cv::Mat> DecodeJpeg(absl::Span<const uint8_t> bytes) {
  const std::unique_ptr<void, int (*)(tjhandle)> handle(tjInitDecompress(), tjDestroy);
  if (handle == nullptr) return absl::ResourceExhaustedError("no memory for a JPEG decoder");
  int width = 0, height = 0, subsampling = 0, colorspace = 0;
  if (tjDecompressHeader3(handle.get(), bytes.data(), bytes.size(), &width, &height, &subsampling,
                          &colorspace) != 0 &&
      tjGetErrorCode(handle.get()) == TJERR_FATAL) {
    return absl::InvalidArgumentError(absl::StrCat("damaged JPEG: ", tjGetErrorStr2(handle.get())));
  }
  const bool cmyk = colorspace == TJCS_CMYK || colorspace == TJCS_YCCK;
  cv::Mat image(height, width, cmyk ? CV_8UC4 : CV_8UC3);
  if (tjDecompress2(handle.get(), bytes.data(), bytes.size(), image.data, width,
                    static_cast<int>(image.step), height, cmyk ? TJPF_CMYK : TJPF_BGR, 0) != 0) {
    // Warnings that change no pixel, such as stray bytes between segments, are common and harmless.
    const char* reason = tjGetErrorStr2(handle.get());
    // Damage within a file that is all there leaves its mark on the picture, as with other
    // programs.
    if (absl::StrContains(reason, "remature end") && !EndsAsJpeg(bytes))
      return absl::InvalidArgumentError("truncated JPEG");
    if (tjGetErrorCode(handle.get()) == TJERR_FATAL) {
      return absl::InvalidArgumentError(absl::StrCat("damaged JPEG: ", reason));
    }
  }
  return cmyk ? CmykToBgr(image) : image;
}

absl::StatusOr<cv::Mat> DecodePng(absl::Span<const uint8_t> bytes) {
  const std::unique_ptr<spng_ctx, void (*)(spng_ctx*)> context(spng_ctx_new(0), spng_ctx_free);
  if (context == nullptr) return absl::ResourceExhaustedError("no memory for a PNG decoder");
  spng_set_chunk_limits(context.get(), 64u << 20, 64u << 20);
  spng_ihdr header;
  size_t size = 0;
  int error = spng_set_png_buffer(context.get(), bytes.data(), bytes.size());
  if (error == 0) error = spng_get_ihdr(context.get(), &header);
  if (error == 0) error = spng_decoded_image_size(context.get(), SPNG_FMT_RGB8, &size);
  cv::Mat image;
  if (error == 0) {
    image.create(static_cast<int>(header.height), static_cast<int>(header.width), CV_8UC3);
    error = spng_decode_image(context.get(), image.data, image.total() * image.elemSize(),
                              SPNG_FMT_RGB8, 0);
  }
  if (error == SPNG_EOF || error == SPNG_IO_EOF) return absl::InvalidArgumentError("truncated PNG");
  if (error != 0)
    return absl::InvalidArgumentError(absl::StrCat("damaged PNG: ", spng_strerror(error)));
  cv::cvtColor(image, image, cv::COLOR_RGB2BGR);
  return image;
}

absl::StatusOr<cv::Mat> DecodeWebp(absl::Span<const uint8_t> bytes) {
  WebPBitstreamFeatures features;
  const VP8StatusCode status = WebPGetFeatures(bytes.data(), bytes.size(), &features);
  if (status == VP8_STATUS_NOT_ENOUGH_DATA) return absl::InvalidArgumentError("truncated WebP");
  if (status != VP8_STATUS_OK) return absl::InvalidArgumentError("damaged WebP");
  cv::Mat image(features.height, features.width, CV_8UC3);
  if (WebPDecodeBGRInto(bytes.data(), bytes.size(), image.data, image.total() * 3,
                        static_cast<int>(image.step)) == nullptr) {
    return absl::InvalidArgumentError("damaged or truncated WebP");
  }
  return image;
}

}  // namespace yoke::engine
