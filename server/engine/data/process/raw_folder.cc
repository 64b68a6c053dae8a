#include "server/engine/data/process/raw_folder.h"

#include <filesystem>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "server/engine/data/dataset.h"
#include "server/engine/data/file_bytes.h"
#include "server/engine/data/file_list.h"
#include "server/engine/data/image.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

bool IsHidden(const fs::path& relative) {
  for (const fs::path& part : relative) {
    if (part.string().starts_with('.')) return true;
  }
  return false;
}

// Where the label of an image may lie, the likeliest first; relative paths.
std::vector<std::string> LabelCandidates(const fs::path& relative) {
  const fs::path parent = relative.parent_path();
  const std::vector<fs::path> folders(parent.begin(), parent.end());
  const fs::path name = relative.stem().string() + ".txt";
  std::vector<std::string> out;
  const auto add = [&](size_t labels_at, size_t resume_at) {
    fs::path path;
    for (size_t i = 0; i < labels_at; ++i) path /= folders[i];
    path /= "labels";
    for (size_t i = resume_at; i < folders.size(); ++i) path /= folders[i];
    out.push_back((path / name).string());
  };
  out.push_back((parent / name).string());
  for (size_t i = folders.size(); i-- > 0;) {
    if (folders[i] == "images") add(i, i + 1);
  }
  for (size_t i = folders.size() + 1; i-- > 0;) {
    if (i < folders.size()) add(i, i + 1);
    add(i, i);
  }
  return out;
}

// Notes, lists and readmes are .txt files too. Labels are rows of numbers, or nothing.
bool LooksLikeLabels(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadTextFile(path, kTextBytesMax);
  if (!text.ok()) return false;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> columns = absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (columns.empty()) continue;
    double number = 0;
    return columns.size() >= 2 && absl::SimpleAtod(columns[0], &number) && absl::SimpleAtod(columns[1], &number);
  }
  return true;
}

std::vector<std::string> ReadNames(const std::string& folder, const std::vector<std::string>& files) {
  for (const char* place : {"classes.txt", "labels/classes.txt"}) {
    const absl::StatusOr<std::string> text = ReadTextFile(absl::StrCat(folder, "/", place), kTextBytesMax);
    if (!text.ok()) continue;
    std::vector<std::string> names;
    for (absl::string_view line : absl::StrSplit(*text, '\n')) {
      line = absl::StripAsciiWhitespace(line);
      if (!line.empty()) names.emplace_back(line);
    }
    if (!names.empty()) return names;
  }
  for (const std::string& file : files) {
    if (fs::path(file).parent_path() != folder || !(absl::EndsWith(file, ".yaml") || absl::EndsWith(file, ".yml"))) continue;
    if (absl::StatusOr<DataYaml> yaml = ReadDataYaml(file); yaml.ok()) return yaml->names;
  }
  return {};
}

}  // namespace

absl::StatusOr<RawFolder> ReadRawFolder(const std::string& folder) {
  YOKE_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(folder));
  RawFolder raw;
  std::set<std::string> texts;
  for (const std::string& file : files) {
    const fs::path relative = fs::path(file).lexically_relative(folder);
    if (IsHidden(relative)) continue;
    if (HasImageExtension(file)) {
      raw.images.push_back({.path = file, .relative = relative.string()});
    } else if (relative.extension() == ".txt" && relative.filename() != "classes.txt") {
      texts.insert(relative.string());
    }
  }
  if (raw.images.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no images in ", folder, " (looked for jpg, jpeg, png, bmp, webp, tif, tiff)"));
  }
  std::set<std::string> used;
  for (RawImage& image : raw.images) {
    for (const std::string& candidate : LabelCandidates(image.relative)) {
      if (!texts.contains(candidate)) continue;
      image.label_path = folder + "/" + candidate;
      used.insert(candidate);
      break;
    }
  }
  for (const std::string& text : texts) {
    if (!used.contains(text) && LooksLikeLabels(folder + "/" + text)) raw.orphan_labels.push_back(text);
  }
  raw.names = ReadNames(folder, files);
  return raw;
}

}  // namespace yoke::engine
