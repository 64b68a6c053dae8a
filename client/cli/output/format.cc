#include "client/cli/output/format.h"

#include <cctype>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"

namespace yoke::cli {
namespace {

using Json = nlohmann::ordered_json;

// Plain where no YAML reader could take it for anything but this string, else as JSON, which YAML includes.
std::string YamlString(const std::string& text) {
  bool plain = !text.empty() && (std::isalpha(static_cast<unsigned char>(text[0])) != 0 || text[0] == '/');
  for (const char c : text) plain = plain && (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '/' || c == '.' || c == '-');
  for (const char* word : {"true", "false", "null", "yes", "no", "on", "off", "True", "False", "Null", "Yes", "No", "On", "Off", "TRUE",
                           "FALSE", "NULL", "YES", "NO", "ON", "OFF", "y", "n", "Y", "N"}) {
    plain = plain && text != word;
  }
  return plain ? text : Json(text).dump();
}

std::string YamlScalar(const Json& json) {
  if (json.is_string()) return YamlString(json.get<std::string>());
  if (json.is_structured()) return json.is_array() ? "[]" : "{}";
  return json.dump();
}

// Members of an object or items of a list, each on a line of its own.
void AppendYaml(const Json& json, const std::string& indent, std::string& out) {
  bool first = true;
  for (auto it = json.begin(); it != json.end(); ++it) {
    const Json& value = *it;
    const bool nested = value.is_structured() && !value.empty();
    const std::string margin = first ? "" : indent;
    first = false;
    if (json.is_array()) {
      absl::StrAppend(&out, margin, "- ");
      if (nested) {
        AppendYaml(value, indent + "  ", out);
        continue;
      }
      absl::StrAppend(&out, YamlScalar(value), "\n");
      continue;
    }
    absl::StrAppend(&out, margin, YamlString(it.key()), ":");
    if (nested) {
      const std::string deeper = indent + "  ";
      absl::StrAppend(&out, "\n", deeper);
      AppendYaml(value, deeper, out);
    } else {
      absl::StrAppend(&out, " ", YamlScalar(value), "\n");
    }
  }
}

}  // namespace

const std::vector<std::string>& FormatWords() {
  static const std::vector<std::string> words = {"table", "wide", "json", "jsonl", "yaml", "name"};
  return words;
}

std::optional<Format> ParseFormat(const std::string& word) {
  for (size_t i = 0; i < FormatWords().size(); ++i) {
    if (FormatWords()[i] == word) return static_cast<Format>(i);
  }
  return std::nullopt;
}

std::string ToJson(const google::protobuf::Message& message, bool pretty, Names names) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = pretty;
  options.preserve_proto_field_names = names == Names::kAsTyped;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  // Only a message that is no valid proto3 (text that is not UTF-8, a time out of range) cannot be written.
  if (!status.ok()) return absl::StrCat("{\"error\":", nlohmann::json(status.ToString()).dump(), "}");
  return text;
}

std::string ToYaml(const google::protobuf::Message& message, Names names) {
  const Json json = Json::parse(ToJson(message, false, names));
  if (json.empty()) return "{}\n";
  std::string text;
  AppendYaml(json, "", text);
  return text;
}

bool PrintMessage(std::ostream& out, Format format, const google::protobuf::Message& message) {
  switch (format) {
    case Format::kJson:
      out << ToJson(message, true);
      return true;
    case Format::kJsonLines:
      out << ToJson(message, false) << "\n";
      return true;
    case Format::kYaml:
      out << ToYaml(message);
      return true;
    default:
      return false;
  }
}

}  // namespace yoke::cli
