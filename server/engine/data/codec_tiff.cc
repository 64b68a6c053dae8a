#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "opencv2/imgproc.hpp"
#include "server/engine/data/codecs.h"
#include "tiffio.h"

namespace yoke::engine {
namespace {

// libtiff reads and seeks through these; it sees a file that lies in memory.
struct MemoryFile {
  absl::Span<const uint8_t> bytes;
  uint64_t at = 0;
};

tmsize_t Read(thandle_t handle, void* out, tmsize_t size) {
  auto* file = static_cast<MemoryFile*>(handle);
  if (file->at >= file->bytes.size()) return 0;
  const size_t count = std::min<size_t>(static_cast<size_t>(size), file->bytes.size() - file->at);
  std::memcpy(out, file->bytes.data() + file->at, count);
  file->at += count;
  return static_cast<tmsize_t>(count);
}
tmsize_t Write(thandle_t, void*, tmsize_t) { return 0; }
toff_t Seek(thandle_t handle, toff_t offset, int whence) {
  auto* file = static_cast<MemoryFile*>(handle);
  const uint64_t base = whence == SEEK_CUR ? file->at : whence == SEEK_END ? file->bytes.size() : 0;
  return file->at = base + offset;
}
int Close(thandle_t) { return 0; }
toff_t Size(thandle_t handle) { return static_cast<MemoryFile*>(handle)->bytes.size(); }
int Map(thandle_t, void**, toff_t*) { return 0; }
void Unmap(thandle_t, void*, toff_t) {}

int KeepFirstError(TIFF*, void* user, const char*, const char* format, va_list arguments) {
  auto* reason = static_cast<std::string*>(user);
  if (!reason->empty()) return 1;
  char text[200];
  std::vsnprintf(text, sizeof text, format, arguments);
  *reason = text;
  return 1;  // libtiff's own printing to stderr is not wanted
}
int IgnoreWarning(TIFF*, void*, const char*, const char*, va_list) { return 1; }

}  // namespace

absl::StatusOr<cv::Mat> DecodeTiff(absl::Span<const uint8_t> bytes) {
  std::string reason;
  MemoryFile file{bytes};
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(),
                                                                             TIFFOpenOptionsFree);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), KeepFirstError, &reason);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), IgnoreWarning, nullptr);
  const std::unique_ptr<TIFF, void (*)(TIFF*)> tiff(
      TIFFClientOpenExt("image", "rm", &file, Read, Write, Seek, Close, Size, Map, Unmap, options.get()), TIFFClose);
  const auto error = [&] { return absl::InvalidArgumentError(absl::StrCat("damaged or truncated TIFF: ", reason)); };
  if (tiff == nullptr) return error();
  uint32_t width = 0, height = 0;
  TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width);
  TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height);
  if (width == 0 || height == 0) return error();
  cv::Mat rgba(static_cast<int>(height), static_cast<int>(width), CV_8UC4);
  if (TIFFReadRGBAImageOriented(tiff.get(), width, height, reinterpret_cast<uint32_t*>(rgba.data),
                                ORIENTATION_TOPLEFT, /*stopOnError=*/1) == 0) {
    return error();
  }
  cv::Mat bgr;
  cv::cvtColor(rgba, bgr, cv::COLOR_RGBA2BGR);
  return bgr;
}

}  // namespace yoke::engine
