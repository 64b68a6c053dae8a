#include "client/cli/keys/key_list.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "yoke/v1/spec.pb.h"

namespace yoke::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

void Append(const Descriptor& message, std::vector<Key>& keys) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor* field = message.field(i);
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE || FindKey(keys, field->name()) != nullptr) continue;
    keys.push_back({field->name(), field, field->options().GetExtension(v1::setting)});
  }
}

// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

std::string TypeWord(const Key& key) {
  if (key.setting.choices_size() > 0) return absl::StrJoin(key.setting.choices(), "|");
  std::string word = "text";
  if (key.setting.path()) {
    word = "path";
  } else if (key.field != nullptr) {
    switch (key.field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL: word = "True|False"; break;
      case FieldDescriptor::CPPTYPE_INT32:
      case FieldDescriptor::CPPTYPE_INT64: word = "whole number"; break;
      case FieldDescriptor::CPPTYPE_DOUBLE: word = "number"; break;
      default: break;
    }
  }
  if (key.setting.has_min() && key.setting.has_max()) {
    word = absl::StrCat(key.setting.min(), " to ", key.setting.max());
  } else if (key.setting.has_min()) {
    word = absl::StrCat("from ", key.setting.min());
  }
  return key.field != nullptr && key.field->is_repeated() ? absl::StrCat(word, ", ...") : word;
}

}  // namespace

std::vector<Key> KeysOfTask(const std::string& task) {
  const FieldDescriptor* field = v1::JobSpec::descriptor()->FindFieldByName(task);
  YOKE_CHECK_MSG(field != nullptr && field->message_type() != nullptr, "no such task: " + task);
  std::vector<Key> keys;
  Append(*field->message_type(), keys);
  if (task == "process") {
    Append(*v1::TrainSpec::descriptor(), keys);
    std::erase_if(keys, [](const Key& key) { return key.name == "data"; });
  }
  return keys;
}

std::vector<Key> KeysOfEveryTask() {
  const FieldDescriptor* device = v1::JobSpec::descriptor()->FindFieldByName("device");
  std::vector<Key> keys = {{"device", device, device->options().GetExtension(v1::setting)}, {"name", nullptr, {}}, {"project", nullptr, {}}};
  keys[1].setting.set_help("A label for the job, as --name; need not be unique.");
  keys[2].setting.set_help("A folder in which a link to the run folder is made (on the server's own machine).");
  return keys;
}

const Key* FindKey(const std::vector<Key>& keys, const std::string& name) {
  for (const Key& key : keys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

std::string Nearest(const std::string& word, const std::vector<std::string>& names) {
  const std::string lower = absl::AsciiStrToLower(word);
  std::string best;
  size_t least = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& name : names) {
    size_t distance = Distance(lower, name);
    // "img" means "imgsz", "warmup" means "warmup_epochs".
    if (distance > 1 && lower.size() >= 3 && absl::StartsWith(name, lower)) distance = 1;
    if (distance < least) {
      least = distance;
      best = name;
    }
  }
  return best;
}

std::string KeyTable(const std::vector<Key>& keys) {
  size_t name_width = 0, type_width = 0, default_width = 0;
  for (const Key& key : keys) {
    name_width = std::max(name_width, key.name.size());
    type_width = std::max(type_width, TypeWord(key).size());
    default_width = std::max(default_width, key.setting.default_value().size());
  }
  std::string table;
  for (const Key& key : keys) {
    const std::string fallback = key.setting.required() ? "required" : key.setting.default_value();
    absl::StrAppendFormat(&table, "  %-*s  %-*s  %-*s  %s\n", name_width, key.name, type_width, TypeWord(key),
                          std::max<size_t>(default_width, 8), fallback, key.setting.help());
  }
  return table;
}

}  // namespace yoke::cli
