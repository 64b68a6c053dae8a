#include "server/engine/label/label_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "server/engine/data/file_bytes.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

constexpr size_t kInspectBytes = 64 * 1024;

}  // namespace

std::string LabelText(const std::vector<Detection>& detections_px, ImageSize photo,
                      bool with_confidence, int64_t* boxes) {
  std::string text;
  const double width = photo.width, height = photo.height;
  for (const Detection& d : detections_px) {
    if (d.x2 <= d.x1 || d.y2 <= d.y1) continue;
    absl::StrAppendFormat(
        &text, "%d %.6f %.6f %.6f %.6f", d.class_id, (static_cast<double>(d.x1) + d.x2) / 2 / width,
        (static_cast<double>(d.y1) + d.y2) / 2 / height, (static_cast<double>(d.x2) - d.x1) / width,
        (static_cast<double>(d.y2) - d.y1) / height);
    if (with_confidence) absl::StrAppendFormat(&text, " %.6f", d.confidence);
    text += '\n';
    ++*boxes;
  }
  return text;
}

Existing WhatExists(const std::string& label_path) {
  struct stat info;
  if (::stat(label_path.c_str(), &info) != 0) return Existing::kNothing;
  const absl::StatusOr<std::vector<uint8_t>> bytes = ReadFileBytes(label_path, kInspectBytes);
  if (!bytes.ok()) return Existing::kOther;
  constexpr std::string_view kNumbers = "0123456789.+-eE \t\r\n";
  const bool numbers = std::all_of(bytes->begin(), bytes->end(), [&](uint8_t byte) {
    return kNumbers.find(static_cast<char>(byte)) != std::string_view::npos;
  });
  return numbers ? Existing::kLabels : Existing::kOther;
}

// Short, so that it fits wherever the label file's own name does.
FileWriter::FileWriter(int rank)
    : temporary_name_(absl::StrCat(".yoke-label-", ::getpid(), "-", rank, ".tmp")) {}

absl::Status FileWriter::Write(const std::string& path, std::string_view bytes) {
  const std::string folder = fs::path(path).parent_path().string();
  if (!folders_.contains(folder)) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) return FileError(folder, "create", error.value());
    folders_.insert(folder);
  }
  const std::string temporary = absl::StrCat(folder, "/", temporary_name_);
  absl::Status status = WriteFile(temporary, O_TRUNC, bytes, path);
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = FileError(path, "write", errno);
  }
  if (!status.ok()) ::unlink(temporary.c_str());
  return status;
}

}  // namespace yoke::engine
