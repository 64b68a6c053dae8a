// WriteClassNames.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/data/file_bytes.h"
#include "server/engine/label/label_files.h"
#include "server/engine/label/plan.h"
#include "yaml-cpp/yaml.h"

namespace yoke::engine {
namespace {

constexpr size_t kBytesMax = 8u << 20;
constexpr char kMark[] = "Class names of the labels in this folder, by yoke label.";

// One line each: an unusual name must not shift the ones after it.
std::string ClassesText(const std::vector<std::string>& names) {
  std::string text;
  for (std::string name : names) {
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    absl::StrAppend(&text, name, "\n");
  }
  return text;
}

std::string DataText(const std::vector<std::string>& names) {
  YAML::Emitter yaml;
  yaml << YAML::Comment(kMark) << YAML::BeginMap;
  yaml << YAML::Key << "nc" << YAML::Value << static_cast<int>(names.size());
  yaml << YAML::Key << "names" << YAML::Value << YAML::BeginMap;
  for (size_t i = 0; i < names.size(); ++i) {
    yaml << YAML::Key << static_cast<int>(i) << YAML::Value << YAML::DoubleQuoted << names[i];
  }
  yaml << YAML::EndMap << YAML::EndMap;
  return absl::StrCat(yaml.c_str(), "\n");
}

}  // namespace

absl::Status WriteClassNames(const std::string& out, const std::vector<std::string>& names,
                             bool overwrite, FileWriter& writer, std::string* warning) {
  const std::string classes_path = absl::StrCat(out, "/", kClassesFile);
  const std::string data_path = absl::StrCat(out, "/", kDataFile);
  const std::string classes_text = ClassesText(names), data_text = DataText(names);
  const absl::StatusOr<std::string> classes = ReadTextFile(classes_path, kBytesMax);
  const absl::StatusOr<std::string> data = ReadTextFile(data_path, kBytesMax);
  const bool ours = data.ok() && absl::StartsWith(*data, absl::StrCat("# ", kMark));
  const auto may_write = [&](const absl::StatusOr<std::string>& there, const std::string& text) {
    return absl::IsNotFound(there.status()) || (ours && overwrite) ||
           (there.ok() && *there == text);
  };
  if (!may_write(classes, classes_text)) {
    *warning = absl::StrCat(classes_path,
                            " does not list the classes of these weights and was left "
                            "as it is; the new labels carry the weights' class numbers");
    return absl::OkStatus();
  }
  if (!classes.ok() || *classes != classes_text) {
    YOKE_RETURN_IF_ERROR(writer.Write(classes_path, classes_text));
  }
  if (!may_write(data, data_text)) {
    if (ours) *warning = absl::StrCat(data_path, " lists other classes and was left as it is");
    return absl::OkStatus();
  }
  return data.ok() && *data == data_text ? absl::OkStatus() : writer.Write(data_path, data_text);
}

}  // namespace yoke::engine
