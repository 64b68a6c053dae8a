// ReadDataYaml: the description as text is read in common/formats; here its paths are looked up.
#include "common/formats/data_yaml.h"

#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/data/dataset.h"
#include "server/engine/data/file_bytes.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

constexpr size_t kYamlBytesMax = 8u << 20;

std::string WithoutSlash(std::string folder) {
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  return folder;
}

// Where a `train:` entry lies. Exports of a known labelling site write ../train/images for
// train/images.
std::string Resolve(const fs::path& root, const std::string& entry) {
  const fs::path direct = (root / entry).lexically_normal();
  std::error_code ignored;
  if (!fs::exists(direct, ignored) && entry.starts_with("../")) {
    const fs::path inside = (root / entry.substr(3)).lexically_normal();
    if (fs::exists(inside, ignored)) return inside.string();
  }
  return WithoutSlash(direct.string());
}

absl::StatusOr<DataYaml> ReadAt(const std::string& path) {
  absl::StatusOr<std::string> text = ReadTextFile(path, kYamlBytesMax);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(absl::StrCat(path, ": no such data set YAML; check data="));
  }
  if (!text.ok()) return text.status();
  YOKE_ASSIGN_OR_RETURN(formats::DataDescription data, formats::ParseDataYaml(*text, path));
  const fs::path root = (fs::path(path).parent_path() / data.path).lexically_normal();
  DataYaml yaml{
      .yaml_path = path, .root = WithoutSlash(root.string()), .names = std::move(data.names)};
  for (const auto& [entries, out] :
       {std::pair{&data.train, &yaml.train}, {&data.val, &yaml.val}, {&data.test, &yaml.test}}) {
    for (const std::string& entry : *entries) out->push_back(Resolve(root, entry));
  }
  return yaml;
}

}  // namespace

absl::StatusOr<DataYaml> ReadDataYaml(const std::string& path) {
  try {
    return ReadAt(fs::absolute(path).lexically_normal().string());
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", e.what()));
  }
}

}  // namespace yoke::engine
