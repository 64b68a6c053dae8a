// What the reference's loader reads beside an ONNX graph: class names, stride, how it was exported.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/engine/config.h"

namespace yoke::engine {

// The model that is exported.
struct ModelFacts {
  char scale = 'n';
  std::vector<std::string> names;
  std::map<std::string, std::string> metadata;  // of its weights; license and data are used
};

// Keys and values of the model's metadata_props, by the reference's names. Lists, dicts and names
// are Python literals, which is what its loader evaluates.
std::vector<std::pair<std::string, std::string>> OnnxMetadata(const ExportConfig& config,
                                                              const ModelFacts& model,
                                                              absl::Time now);

// 'it\'s' for it's: a Python string literal for any text; what is not UTF-8 is replaced.
std::string PythonString(const std::string& text);

}  // namespace yoke::engine
