#include "client/cli/keys/paths.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace yoke::cli {
namespace {

namespace fs = std::filesystem;

std::string Absolute(const std::string& text, const PathContext& context) {
  fs::path path = text;
  if (absl::StartsWith(text, "~/") && !context.home.empty()) path = fs::path(context.home) / text.substr(2);
  path = (fs::path(context.cwd) / path).lexically_normal();
  // "folder/" and "folder" are one path.
  if (path.has_relative_path() && path.filename().empty()) path = path.parent_path();
  return path.string();
}

bool IsFile(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error) && !fs::is_directory(path, error);
}

bool IsFolder(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool IsBareName(const std::string& text) { return !absl::StrContains(text, "/"); }

// yolov8n, yolov8s, yolov8m, yolov8l, yolov8x.
bool IsScale(absl::string_view text) {
  return absl::ConsumePrefix(&text, "yolov8") && text.size() == 1 && absl::StrContains("nsmlx", text);
}

absl::StatusOr<std::string> ResolveModel(const std::string& text, const PathContext& context) {
  const std::string path = Absolute(text, context);
  if (IsFile(path)) return path;
  if (IsFolder(path)) return absl::InvalidArgumentError(absl::StrCat("model: ", path, " is a folder; name the weights in it"));
  absl::string_view stem = text;
  absl::ConsumeSuffix(&stem, ".yaml");
  if (IsScale(stem)) return absl::StrCat(stem, ".yaml");
  if (!IsBareName(text)) return absl::NotFoundError(absl::StrCat("model: ", path, ": no such file"));
  if (!context.weights_dir.empty()) {
    const std::string known = Absolute((fs::path(context.weights_dir) / text).string(), context);
    if (IsFile(known)) return known;
  }
  const std::string also =
      context.weights_dir.empty() ? ", or in a folder that YOKE_WEIGHTS_DIR names" : absl::StrCat(" or in ", context.weights_dir);
  return absl::NotFoundError(absl::StrCat("model: ", text, " is not here: put it in ", context.cwd, also,
                                          ", or write its path; model=yolov8n.yaml (n s m l x) trains from scratch"));
}

absl::StatusOr<std::string> ResolveData(const std::string& text, const PathContext& context) {
  const std::string path = Absolute(text, context);
  if (IsFile(path)) return path;
  if (IsFile(path + ".yaml")) return path + ".yaml";
  if (!IsFolder(path)) {
    return absl::NotFoundError(absl::StrCat("data: ", path, ": no such file",
                                            absl::EndsWith(path, ".yaml") ? "" : absl::StrCat(", and no ", text, ".yaml")));
  }
  std::vector<std::string> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    const std::string suffix = entry.path().extension().string();
    if ((suffix == ".yaml" || suffix == ".yml") && IsFile(entry.path().string())) found.push_back(entry.path().string());
  }
  if (error) return absl::NotFoundError(absl::StrCat("data: ", path, ": ", error.message()));
  std::sort(found.begin(), found.end());
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("data: the folder ", path, " holds no YAML that describes a data set; "
                                                   "write one, or make a data set with: yoke process source=", text, " out=..."));
  }
  return absl::InvalidArgumentError(absl::StrCat("data: the folder ", path, " holds several YAML files; name one: ",
                                                 absl::StrJoin(found, ", ")));
}

absl::StatusOr<std::string> ResolveResume(const std::string& text, const PathContext& context) {
  const std::string path = Absolute(text, context);
  if (IsFile(path) || IsFolder(path)) return path;
  absl::string_view id = text;
  absl::ConsumePrefix(&id, "jobs/");
  if (absl::StrContains(id, "/") || absl::EndsWith(id, ".pt")) {
    return absl::NotFoundError(absl::StrCat("resume: ", path, ": no such file or folder"));
  }
  return text;
}

}  // namespace

PathContext ProcessPathContext() {
  auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  std::error_code error;
  return {fs::current_path(error).string(), variable("HOME"), variable("YOKE_WEIGHTS_DIR")};
}

absl::StatusOr<std::string> ResolvePath(const std::string& key, const std::string& text, const PathContext& context) {
  if (text.empty()) return absl::InvalidArgumentError(absl::StrCat(key, " is empty"));
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "server:")) {
    if (rest.empty()) return absl::InvalidArgumentError(absl::StrCat(key, ": server: names no path"));
    return std::string(rest);
  }
  // What it will be is known only for each task of an array.
  if (absl::StrContains(text, "{index}")) return Absolute(text, context);
  if (key == "model") return ResolveModel(text, context);
  if (key == "data") return ResolveData(text, context);
  if (key == "resume") return ResolveResume(text, context);
  const std::string path = Absolute(text, context);
  if (key != "out" && !IsFile(path) && !IsFolder(path)) {
    return absl::NotFoundError(absl::StrCat(key, ": ", path, ": no such file or folder"));
  }
  return path;
}

}  // namespace yoke::cli
