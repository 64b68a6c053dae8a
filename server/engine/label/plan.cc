#include "server/engine/label/plan.h"

#include <filesystem>
#include <map>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/data/file_list.h"
#include "server/engine/data/fingerprint.h"
#include "server/engine/data/image.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

fs::path Plain(const std::string& path) {
  const fs::path plain = fs::path(path).lexically_normal();
  return plain.has_filename() ? plain : plain.parent_path();
}

// The sources by the name each has under `out`.
absl::StatusOr<std::map<std::string, fs::path>> NamedSources(
    const std::vector<std::string>& sources) {
  std::map<std::string, fs::path> named;
  for (const std::string& source : sources) {
    const fs::path path = Plain(source);
    const auto [at, added] = named.emplace(path.filename().string(), path);
    if (!added) {
      return absl::InvalidArgumentError(
          absl::StrCat("the sources ", at->second.string(), " and ", path.string(),
                       " have the same name, so their labels would mix; label them one by one"));
    }
  }
  return named;
}

}  // namespace

absl::StatusOr<std::vector<LabelItem>> PlanLabels(const std::vector<std::string>& sources,
                                                  const std::string& out) {
  if (sources.empty()) return absl::InvalidArgumentError("no source: name a folder of images");
  YOKE_ASSIGN_OR_RETURN(const auto named, NamedSources(sources));
  std::vector<LabelItem> items;
  std::unordered_map<std::string, std::string> taken;  // label file -> whose it is
  taken[(Plain(out) / kClassesFile).string()] = "the class names";
  for (const auto& [name, source] : named) {
    std::error_code ignored;
    const bool folder = fs::is_directory(source, ignored);
    if (!folder && fs::exists(source, ignored) && !HasImageExtension(source.string())) {
      return absl::InvalidArgumentError(absl::StrCat(
          source.string(), ": neither a folder nor an image (jpg jpeg png bmp webp tif tiff)"));
    }
    YOKE_ASSIGN_OR_RETURN(const std::vector<std::string> images, ListImages(source.string()));
    const fs::path tree = folder && named.size() > 1 ? Plain(out) / name : Plain(out);
    for (const std::string& image : images) {
      const fs::path relative =
          folder ? fs::path(image).lexically_relative(source) : fs::path(image).filename();
      LabelItem item{image, (tree / relative).replace_extension(".txt").string(), ""};
      const auto [owner, added] = taken.emplace(item.label_path, image);
      if (!added) {
        item.refusal = absl::StrCat(item.label_path, " is for ", owner->second, "; rename one");
      }
      items.push_back(std::move(item));
    }
  }
  return items;
}

std::string PlanFingerprint(const std::vector<LabelItem>& items) {
  Fingerprint fingerprint;
  for (const LabelItem& item : items) fingerprint.Add(item.image_path);
  return fingerprint.Hex();
}

}  // namespace yoke::engine
