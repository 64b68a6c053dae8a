#include "tests/unit/worker/proto_text.h"

#include <fstream>
#include <regex>

#include "common/base/check.h"

namespace yoke::worker {
namespace {

using nlohmann::json;

bool IsMessage(const ProtoField& field) {
  return std::isupper(static_cast<unsigned char>(field.type[0])) != 0;
}

json Value(const std::string& type, const std::string& text) {
  if (type == "string") return text;
  if (type == "bool") return text == "true";
  if (type == "double") return std::stod(text);
  if (type == "int64") return text;
  return std::stoi(text);
}

}  // namespace

std::map<std::string, std::map<std::string, ProtoField>> ReadProtoMessages(
    const std::string& path) {
  std::ifstream file(path);
  YOKE_CHECK_MSG(file.good(), path);
  const std::regex message(R"(^message (\w+) \{)");
  const std::regex field(R"(^\s+(optional |repeated )?(\w+) (\w+) = \d+( \[.*\])?;)");
  const std::regex fallback(R"rx(default_value: "([^"]*)")rx");
  std::map<std::string, std::map<std::string, ProtoField>> messages;
  std::string current;
  std::smatch match;
  for (std::string line; std::getline(file, line);) {
    if (std::regex_search(line, match, message)) {
      current = match[1];
    } else if (!current.empty() && std::regex_search(line, match, field)) {
      ProtoField& found = messages[current][match[3]];
      found.type = match[2];
      found.repeated = match[1] == "repeated ";
      const std::string options = match[4];
      if (std::smatch value; std::regex_search(options, value, fallback))
        found.default_value = value[1];
    }
  }
  YOKE_CHECK_MSG(!messages.empty(), path);
  return messages;
}

json ResolvedMessage(const std::map<std::string, ProtoField>& message) {
  json resolved = json::object();
  for (const auto& [name, field] : message) {
    if (IsMessage(field)) continue;
    if (field.repeated) {
      resolved[name] = json::array();
      std::stringstream parts(field.default_value);
      for (std::string part; std::getline(parts, part, ',');)
        resolved[name].push_back(Value(field.type, part));
    } else if (!field.default_value.empty()) {
      resolved[name] = Value(field.type, field.default_value);
    }
  }
  return resolved;
}

json OtherValue(const std::string& name, const ProtoField& field) {
  static const std::map<std::string, json> kChosen = {
      {"imgsz", 320},           {"batch", 64},     {"optimizer", "SGD"},
      {"amp", "bf16"},          {"cache", "ram"},  {"recipe", "modern"},
      {"on_bad_label", "skip"}, {"preset", "recommended"},
      {"weights", json::array({0.5})},       {"freeze", 3}};
  if (const auto chosen = kChosen.find(name); chosen != kChosen.end()) return chosen->second;
  if (field.repeated && field.type == "double") return {0.5, 0.25, 0.25};
  if (field.repeated && field.type == "int32") return {3, 5};
  if (field.repeated) return {"/some/" + name};
  if (field.type == "string") return "/some/" + name;
  if (field.type == "bool") return field.default_value != "true";
  if (field.type == "double") return 0.125;
  if (field.type == "int64") return "7";
  return 7;
}

}  // namespace yoke::worker
