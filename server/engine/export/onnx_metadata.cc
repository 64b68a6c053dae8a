#include "server/engine/export/onnx_metadata.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"

namespace yoke::engine {
namespace {

const char* PythonBool(bool value) { return value ? "True" : "False"; }

// {0: 'person', 1: 'bicycle'}
std::string NamesLiteral(const std::vector<std::string>& names) {
  std::string text = "{";
  for (size_t i = 0; i < names.size(); ++i)
    absl::StrAppend(&text, i == 0 ? "" : ", ", i, ": ", PythonString(names[i]));
  return text + "}";
}

std::string ArgsLiteral(const ExportConfig& config) {
  std::string text =
      absl::StrCat("{'batch': ", config.batch, ", 'dynamic': ", PythonBool(config.dynamic),
                   ", 'nms': ", PythonBool(config.nms), ", 'opset': ", config.opset);
  if (config.nms) {
    absl::StrAppend(&text, ", 'conf': ", config.conf, ", 'iou': ", config.iou,
                    ", 'max_det': ", config.max_det,
                    ", 'agnostic_nms': ", PythonBool(config.agnostic_nms));
  }
  return text + "}";
}

std::string Description(const ModelFacts& model) {
  std::string text = absl::StrCat("YOLOv8", std::string(1, model.scale), " detector");
  const auto data = model.metadata.find("data");
  if (data == model.metadata.end() || data->second.empty()) return text;
  return absl::StrCat(text, " trained on ", data->second.substr(data->second.rfind('/') + 1));
}

}  // namespace

std::string PythonString(const std::string& text) {
  // JSON's escapes are Python's too; only the quotes differ.
  const std::string quoted =
      nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string literal = "'";
  for (size_t i = 1; i + 1 < quoted.size(); ++i) {
    if (quoted[i] == '\\' && quoted[i + 1] != '"') {
      literal += quoted[i++];
      literal += quoted[i];
    } else if (quoted[i] == '\'') {
      literal += "\\'";
    } else if (quoted[i] != '\\') {
      literal += quoted[i];
    }
  }
  return literal + "'";
}

std::vector<std::pair<std::string, std::string>> OnnxMetadata(const ExportConfig& config,
                                                              const ModelFacts& model,
                                                              absl::Time now) {
  std::vector<std::pair<std::string, std::string>> entries = {
      {"description", Description(model)},
      {"author", "Yoke"},
      {"date", absl::FormatTime(absl::RFC3339_sec, now, absl::UTCTimeZone())},
      {"version", YOKE_VERSION}};
  const auto license = model.metadata.find("license");
  if (license != model.metadata.end()) entries.emplace_back(*license);
  const std::vector<std::pair<std::string, std::string>> rest = {
      {"stride", "32"},
      {"task", "detect"},
      {"head", "Detect"},
      {"batch", absl::StrCat(config.batch)},
      {"imgsz", absl::StrCat("[", config.imgsz, ", ", config.imgsz, "]")},
      {"names", NamesLiteral(model.names)},
      {"args", ArgsLiteral(config)},
      {"channels", "3"},
      {"end2end", "False"}};
  entries.insert(entries.end(), rest.begin(), rest.end());
  return entries;
}

}  // namespace yoke::engine
