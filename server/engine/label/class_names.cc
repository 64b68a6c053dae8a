// CheckClassNames and WriteClassNames.
#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
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

// What lies in the folder, and what shall.
struct ListFile {
  ListFile(const std::string& folder, const char* name, std::string wanted)
      : path(absl::StrCat(folder, "/", name)),
        text(std::move(wanted)),
        there(ReadTextFile(path, kBytesMax)) {}
  bool Agrees() const {
    return there.ok() && absl::StripAsciiWhitespace(*there) == absl::StripAsciiWhitespace(text);
  }
  bool Exists() const { return !absl::IsNotFound(there.status()); }

  std::string path, text;
  absl::StatusOr<std::string> there;
};

struct ListFiles {
  ListFiles(const std::string& out, const std::vector<std::string>& names)
      : classes(out, kClassesFile, ClassesText(names)), data(out, kDataFile, DataText(names)) {}
  // Written by an earlier labelling, as its first line says.
  bool AreOurs() const {
    return data.there.ok() && absl::StartsWith(*data.there, absl::StrCat("# ", kMark));
  }

  ListFile classes, data;
};

absl::Status Check(const ListFiles& files, bool overwrite) {
  const bool ours = files.AreOurs();
  for (const ListFile* file : {&files.classes, &files.data}) {
    if (!file->Exists() || file->Agrees()) continue;
    if (file == &files.data && !ours) continue;  // of a data set; it need not list names
    if (ours && overwrite) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        file->path,
        " lists other classes than these weights have: labels of both would mix in one folder; ",
        ours ? "choose another out=, or overwrite=True to label anew"
             : "choose another out=, or remove the file if the labels shall be these weights'"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckClassNames(const std::string& out, const std::vector<std::string>& names,
                             bool overwrite) {
  return Check(ListFiles(out, names), overwrite);
}

absl::Status WriteClassNames(const std::string& out, const std::vector<std::string>& names,
                             bool overwrite, FileWriter& writer) {
  const ListFiles files(out, names);
  YOKE_RETURN_IF_ERROR(Check(files, overwrite));
  if (!files.classes.Agrees())
    YOKE_RETURN_IF_ERROR(writer.Write(files.classes.path, files.classes.text));
  if (files.data.Agrees() || (files.data.Exists() && !files.AreOurs())) return absl::OkStatus();
  return writer.Write(files.data.path, files.data.text);
}

}  // namespace yoke::engine
