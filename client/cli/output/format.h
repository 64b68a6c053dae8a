// How an answer is written to stdout.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "google/protobuf/message.h"

namespace yoke::cli {

enum class Format { kTable, kWide, kJson, kJsonLines, kYaml, kName };

// table, wide, json, jsonl, yaml, name.
std::optional<Format> ParseFormat(const std::string& word);
const std::vector<std::string>& FormatWords();

// Of fields: the API's (warmupEpochs), or as people type them as keys (warmup_epochs).
enum class Names { kCanonical, kAsTyped };

// Canonical protobuf JSON with zeros and empty lists; one line, or indented when `pretty`.
std::string ToJson(const google::protobuf::Message& message, bool pretty, Names names = Names::kCanonical);

// The same as block YAML.
std::string ToYaml(const google::protobuf::Message& message, Names names = Names::kCanonical);

// Writes `message` if `format` is JSON, JSON Lines or YAML, and returns whether it did.
bool PrintMessage(std::ostream& out, Format format, const google::protobuf::Message& message);

}  // namespace yoke::cli
