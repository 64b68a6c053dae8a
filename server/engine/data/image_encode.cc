#include "server/engine/data/image_encode.h"

#include <cstdlib>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "opencv2/imgproc.hpp"
#include "spng.h"
#include "turbojpeg.h"

namespace yoke::engine {
namespace {

constexpr int kSideMax = 65'500;  // JPEG's
constexpr int kPngLevel = 3;

absl::Status Check(const cv::Mat& bgr) {
  if (bgr.type() == CV_8UC3 && !bgr.empty() && bgr.cols <= kSideMax && bgr.rows <= kSideMax) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("cannot encode a picture of ", bgr.cols, "x",
                                                 bgr.rows, " px and type ", bgr.type()));
}

}  // namespace

absl::StatusOr<std::string> EncodePng(const cv::Mat& bgr) {
  if (const absl::Status status = Check(bgr); !status.ok()) return status;
  cv::Mat rgb;
  cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
  const std::unique_ptr<spng_ctx, void (*)(spng_ctx*)> context(spng_ctx_new(SPNG_CTX_ENCODER),
                                                               spng_ctx_free);
  if (context == nullptr) return absl::ResourceExhaustedError("no memory for a PNG encoder");
  spng_set_option(context.get(), SPNG_ENCODE_TO_BUFFER, 1);
  spng_set_option(context.get(), SPNG_IMG_COMPRESSION_LEVEL, kPngLevel);
  spng_set_option(context.get(), SPNG_FILTER_CHOICE, SPNG_DISABLE_FILTERING);
  spng_ihdr header = {};
  header.width = static_cast<uint32_t>(rgb.cols);
  header.height = static_cast<uint32_t>(rgb.rows);
  header.bit_depth = 8;
  header.color_type = SPNG_COLOR_TYPE_TRUECOLOR;
  int error = spng_set_ihdr(context.get(), &header);
  if (error == 0) {
    error = spng_encode_image(context.get(), rgb.data, rgb.total() * rgb.elemSize(), SPNG_FMT_PNG,
                              SPNG_ENCODE_FINALIZE);
  }
  size_t size = 0;
  const std::unique_ptr<void, void (*)(void*)> bytes(
      error == 0 ? spng_get_png_buffer(context.get(), &size, &error) : nullptr, std::free);
  if (error != 0 || bytes == nullptr) {
    return absl::InternalError(absl::StrCat("cannot encode a PNG: ", spng_strerror(error)));
  }
  return std::string(static_cast<const char*>(bytes.get()), size);
}

absl::StatusOr<std::string> EncodeJpeg(const cv::Mat& bgr, int quality) {
  if (const absl::Status status = Check(bgr); !status.ok()) return status;
  const std::unique_ptr<void, int (*)(tjhandle)> handle(tjInitCompress(), tjDestroy);
  if (handle == nullptr) return absl::ResourceExhaustedError("no memory for a JPEG encoder");
  unsigned char* bytes = nullptr;
  unsigned long size = 0;  // NOLINT: turbojpeg's type
  const int failed = tjCompress2(handle.get(), bgr.data, bgr.cols, static_cast<int>(bgr.step),
                                 bgr.rows, TJPF_BGR, &bytes, &size, TJSAMP_420, quality, 0);
  const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owner(bytes, tjFree);
  if (failed != 0) {
    return absl::InternalError(
        absl::StrCat("cannot encode a JPEG: ", tjGetErrorStr2(handle.get())));
  }
  return std::string(reinterpret_cast<const char*>(bytes), size);
}

}  // namespace yoke::engine
