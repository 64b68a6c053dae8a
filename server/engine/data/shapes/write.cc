#include <filesystem>
#include <fstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "server/engine/data/file_bytes.h"
#include "server/engine/data/image_encode.h"
#include "server/engine/data/shapes/shapes.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNames[kShapeClassesMax] = {"circle", "square", "triangle",
                                                  "star",   "cross",  "ring"};
constexpr int kQuality = 92;
constexpr int kSizeMin = 32, kSizeMax = 4096, kImagesMax = 1'000'000;

absl::Status WriteFile(const std::string& path, const void* bytes, size_t size) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(size));
  file.close();
  if (!file) return FileError(path, "write", errno);
  return absl::OkStatus();
}

absl::Status WriteJpeg(const std::string& path, const cv::Mat& bgr) {
  YOKE_ASSIGN_OR_RETURN(const std::string bytes, EncodeJpeg(bgr, kQuality));
  return WriteFile(path, bytes.data(), bytes.size());
}

absl::Status WriteSplit(const ShapesOptions& options, const std::string& split, int count,
                        uint64_t first) {
  std::error_code error;
  fs::create_directories(options.out + "/images/" + split, error);
  if (!error) fs::create_directories(options.out + "/labels/" + split, error);
  if (error) return FileError(options.out, "create", error.value());
  for (int i = 0; i < count; ++i) {
    const ShapesImage image =
        DrawShapes(options.size, options.classes, options.seed, first + static_cast<uint64_t>(i));
    const std::string stem = absl::StrFormat("%s/%05d", split, i);
    YOKE_RETURN_IF_ERROR(WriteJpeg(absl::StrCat(options.out, "/images/", stem, ".jpg"), image.bgr));
    std::string text;
    for (const Label& label : image.labels) {
      absl::StrAppendFormat(&text, "%d %.6f %.6f %.6f %.6f\n", label.class_id, label.x, label.y,
                            label.w, label.h);
    }
    YOKE_RETURN_IF_ERROR(
        WriteFile(absl::StrCat(options.out, "/labels/", stem, ".txt"), text.data(), text.size()));
  }
  return absl::OkStatus();
}

absl::Status CheckRange(const char* option, int value, int low, int high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(option, " is ", value, ", from ", low, " to ", high, " expected"));
}

}  // namespace

absl::Status WriteShapes(const ShapesOptions& options) {
  YOKE_RETURN_IF_ERROR(CheckRange("--images", options.train, 1, kImagesMax));
  YOKE_RETURN_IF_ERROR(CheckRange("--val", options.val, 0, kImagesMax));
  YOKE_RETURN_IF_ERROR(CheckRange("--size", options.size, kSizeMin, kSizeMax));
  YOKE_RETURN_IF_ERROR(CheckRange("--classes", options.classes, 1, kShapeClassesMax));
  std::error_code ignored;
  if (fs::exists(options.out, ignored) && !fs::is_empty(options.out, ignored)) {
    return absl::AlreadyExistsError(absl::StrCat(options.out, " is not empty; name a new folder"));
  }
  YOKE_RETURN_IF_ERROR(WriteSplit(options, "train", options.train, 0));
  YOKE_RETURN_IF_ERROR(WriteSplit(options, "val", options.val, static_cast<uint64_t>(kImagesMax)));
  std::string yaml =
      "# Drawn shapes. Paths are relative to this file.\ntrain: images/train\nval: "
      "images/val\nnames:\n";
  for (int i = 0; i < options.classes; ++i) absl::StrAppend(&yaml, "  ", i, ": ", kNames[i], "\n");
  return WriteFile(options.out + "/data.yaml", yaml.data(), yaml.size());
}

}  // namespace yoke::engine
