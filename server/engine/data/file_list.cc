#include "server/engine/data/file_list.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "server/engine/data/file_bytes.h"
#include "server/engine/data/image.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

constexpr int kDepthMax = 32;
constexpr size_t kListBytesMax = size_t{1} << 30;

using Inode = std::pair<dev_t, ino_t>;

absl::Status Walk(const std::string& folder, int depth, std::set<Inode>& visited, std::vector<std::string>& files) {
  struct stat info;
  if (::stat(folder.c_str(), &info) != 0) return FileError(folder, "open", errno);
  if (depth > kDepthMax || !visited.insert({info.st_dev, info.st_ino}).second) return absl::OkStatus();
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error) return FileError(folder, "open", error.value());
  for (; entries != fs::directory_iterator(); entries.increment(error)) {
    const fs::directory_entry& entry = *entries;
    std::error_code ignored;  // a dangling link is no file
    if (entry.is_directory(ignored)) {
      YOKE_RETURN_IF_ERROR(Walk(entry.path().string(), depth + 1, visited, files));
    } else if (entry.is_regular_file(ignored)) {
      files.push_back(entry.path().string());
    }
    if (error) break;
  }
  if (error) return FileError(folder, "list", error.value());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ReadList(const std::string& list) {
  YOKE_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(list, kListBytesMax));
  const fs::path folder = fs::path(list).parent_path();
  std::vector<std::string> images;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty()) images.push_back((folder / fs::path(std::string(line))).lexically_normal().string());
  }
  return images;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListFiles(const std::string& folder) {
  std::vector<std::string> files;
  std::set<Inode> visited;
  YOKE_RETURN_IF_ERROR(Walk(folder, 0, visited, files));
  std::sort(files.begin(), files.end());
  return files;
}

absl::StatusOr<std::vector<std::string>> ListImages(const std::string& source) {
  struct stat info;
  if (::stat(source.c_str(), &info) != 0) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat(source, ": no such file or folder"));
    return FileError(source, "open", errno);
  }
  std::vector<std::string> images;
  if (S_ISDIR(info.st_mode)) {
    YOKE_ASSIGN_OR_RETURN(images, ListFiles(source));
    std::erase_if(images, [](const std::string& path) { return !HasImageExtension(path); });
    if (images.empty()) {
      return absl::NotFoundError(
          absl::StrCat("no images in ", source, " (looked for jpg, jpeg, png, bmp, webp, tif, tiff)"));
    }
  } else if (HasImageExtension(source)) {
    images.push_back(source);
  } else if (absl::EndsWithIgnoreCase(source, ".txt")) {
    YOKE_ASSIGN_OR_RETURN(images, ReadList(source));
    if (images.empty()) return absl::NotFoundError(absl::StrCat(source, ": names no images"));
  } else {
    return absl::InvalidArgumentError(absl::StrCat(source, ": neither a folder, a .txt list nor an image"));
  }
  std::sort(images.begin(), images.end());
  return images;
}

std::string LabelPathOf(const std::string& image_path) {
  constexpr std::string_view kImages = "/images/";
  std::string path = image_path;
  const size_t images = path.rfind(kImages);
  if (images != std::string::npos) path.replace(images, kImages.size(), "/labels/");
  const size_t dot = path.rfind('.');
  if (dot != std::string::npos && path.find('/', dot) == std::string::npos) path.resize(dot);
  return path + ".txt";
}

}  // namespace yoke::engine
