#include "client/cli/keys/spec_words.h"

#include <cmath>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/keys/key_list.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "yoke/v1/setting.pb.h"

namespace yoke::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string Unquoted(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.size() >= 2 && (text.front() == '\'' || text.front() == '"') && text.front() == text.back()) {
    text = text.substr(1, text.size() - 2);
  }
  return std::string(text);
}

// "[a, b]", "(a, b)" and "a,b" -> a, b.
std::vector<std::string> ListItems(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.size() >= 2 && ((text.front() == '[' && text.back() == ']') || (text.front() == '(' && text.back() == ')'))) {
    text = text.substr(1, text.size() - 2);
  }
  std::vector<std::string> items;
  for (absl::string_view item : absl::StrSplit(text, ',')) items.push_back(Unquoted(item));
  return items;
}

absl::StatusOr<bool> ParseWord(const std::string& text) {
  const std::string lower = absl::AsciiStrToLower(text);
  if (lower == "true") return true;
  if (lower == "false") return false;
  return absl::InvalidArgumentError("True or False");
}

absl::StatusOr<bool> ParseBool(const std::string& text) {
  if (text == "1") return true;
  if (text == "0") return false;
  return ParseWord(text);
}

bool IsBracketed(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  return absl::StartsWith(text, "[") || absl::StartsWith(text, "(");
}

// A choice written in another case is the choice: True -> true, adamw -> AdamW.
std::string CanonicalChoice(const Key& key, const std::string& text) {
  for (const std::string& choice : key.setting.choices()) {
    if (absl::EqualsIgnoreCase(choice, text)) return choice;
  }
  return text;
}

absl::Status SetOne(Message& message, const Key& key, const std::string& text, const PathContext& context) {
  const Reflection& reflection = *message.GetReflection();
  const FieldDescriptor* field = key.field;
  const bool list = field->is_repeated();
  auto wrong = [&](absl::string_view wanted) {
    return absl::InvalidArgumentError(absl::StrCat(key.name, "=", text, ": ", wanted, " is wanted"));
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: {
      const absl::StatusOr<bool> value = ParseBool(text);
      if (!value.ok()) return wrong("True or False");
      list ? reflection.AddBool(&message, field, *value) : reflection.SetBool(&message, field, *value);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_INT32: {
      int32_t value;
      if (!absl::SimpleAtoi(text, &value)) return wrong("a whole number");
      list ? reflection.AddInt32(&message, field, value) : reflection.SetInt32(&message, field, value);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      int64_t value;
      if (!absl::SimpleAtoi(text, &value)) return wrong("a whole number");
      list ? reflection.AddInt64(&message, field, value) : reflection.SetInt64(&message, field, value);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double value;
      const absl::StatusOr<bool> word = key.setting.true_value().empty() ? absl::InvalidArgumentError("") : ParseWord(text);
      if (word.ok()) {
        YOKE_CHECK(absl::SimpleAtod(*word ? key.setting.true_value() : "0", &value));
      } else if (!absl::SimpleAtod(text, &value) || !std::isfinite(value)) {
        return wrong("a number");
      }
      list ? reflection.AddDouble(&message, field, value) : reflection.SetDouble(&message, field, value);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string value = CanonicalChoice(key, text);
      if (key.setting.path()) {
        YOKE_ASSIGN_OR_RETURN(value, ResolvePath(key.name, text, context));
      } else if (value.empty()) {
        return absl::InvalidArgumentError(absl::StrCat(key.name, " is empty"));
      }
      list ? reflection.AddString(&message, field, value) : reflection.SetString(&message, field, value);
      return absl::OkStatus();
    }
    default:
      return absl::InternalError(absl::StrCat(key.name, ": a type that the command line cannot read"));
  }
}

absl::Status SetField(Message& message, const Key& key, const std::string& text, const PathContext& context) {
  if (!key.setting.list_field().empty() && (IsBracketed(text) || absl::StrContains(text, ','))) {
    const FieldDescriptor* list = message.GetDescriptor()->FindFieldByName(key.setting.list_field());
    return SetField(message, {key.name, list, list->options().GetExtension(v1::setting)}, text, context);
  }
  if (!key.field->is_repeated()) return SetOne(message, key, Unquoted(text), context);
  for (const std::string& item : ListItems(text)) YOKE_RETURN_IF_ERROR(SetOne(message, key, item, context));
  return absl::OkStatus();
}

absl::Status SetDevice(v1::JobSpec& spec, const std::string& text) {
  std::string device;
  for (const std::string& item : ListItems(Unquoted(text))) absl::StrAppend(&device, device.empty() ? "" : ",", item);
  if (device.empty()) {
    return absl::InvalidArgumentError("device is empty; write device=auto, cpu, 0 or 0,1 (see: yoke help devices)");
  }
  // Commas that hold nothing between them are the server's to refuse, as they were written.
  spec.set_device(IsBracketed(text) ? device : Unquoted(text));
  return absl::OkStatus();
}

absl::Status UnknownKey(const std::string& name, const std::vector<Key>& keys, const std::string& task) {
  std::vector<std::string> names;
  for (const Key& key : keys) names.push_back(key.name);
  const std::string nearest = Nearest(name, names);
  const std::string verb = task == "validate" ? "val" : task;
  return absl::InvalidArgumentError(absl::StrCat("unknown key '", name, "'",
                                                 nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?"),
                                                 " (all keys: yoke help keys ", verb, ")"));
}

// The weights that a training takes when none are named are looked for like named ones; a server that keeps
// its own may still find them.
void FindDefaultModel(v1::TrainSpec& train, const PathContext& context) {
  if (train.has_model() || train.has_resume()) return;
  const Key* key = nullptr;
  const std::vector<Key> keys = KeysOfTask("train");
  key = FindKey(keys, "model");
  const absl::StatusOr<std::string> path = ResolvePath("model", key->setting.default_value(), context);
  if (path.ok()) train.set_model(*path);
}

}  // namespace

absl::StatusOr<SpecWords> ParseSpecWords(const std::string& task, const std::vector<std::string>& words,
                                         const PathContext& context) {
  SpecWords parsed;
  const FieldDescriptor* member = v1::JobSpec::descriptor()->FindFieldByName(task);
  Message& message = *parsed.spec.GetReflection()->MutableMessage(&parsed.spec, member);
  const std::vector<Key> every = KeysOfEveryTask();
  std::vector<Key> keys = KeysOfTask(task);
  keys.insert(keys.end(), every.begin(), every.end());

  std::set<std::string> seen;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(absl::StrCat("'", word, "' is not key=value"));
    }
    const std::string name = word.substr(0, equals), text = word.substr(equals + 1);
    const Key* key = FindKey(keys, name);
    if (key == nullptr) return UnknownKey(name, keys, task);
    if (!seen.insert(name).second) return absl::InvalidArgumentError(absl::StrCat(name, " is given twice"));
    if (name == "name") {
      parsed.display_name = Unquoted(text);
    } else if (name == "project") {
      YOKE_ASSIGN_OR_RETURN(parsed.project, ResolvePath("out", Unquoted(text), context));
    } else if (name == "device") {
      YOKE_RETURN_IF_ERROR(SetDevice(parsed.spec, text));
    } else if (key->field->containing_type() == message.GetDescriptor()) {
      YOKE_RETURN_IF_ERROR(SetField(message, *key, text, context));
    } else {
      YOKE_RETURN_IF_ERROR(SetField(*parsed.spec.mutable_process()->mutable_train(), *key, text, context));
    }
  }
  if (parsed.spec.has_train()) FindDefaultModel(*parsed.spec.mutable_train(), context);
  if (parsed.spec.has_process()) {
    v1::ProcessSpec& process = *parsed.spec.mutable_process();
    if (process.has_preset()) process.mutable_train();
    if (process.has_train() && !process.has_preset()) FindDefaultModel(*process.mutable_train(), context);
  }
  return parsed;
}

absl::StatusOr<v1::JobSpec> ParseOneKey(const std::string& task, const std::string& key,
                                        const std::string& text, const PathContext& context) {
  v1::JobSpec spec;
  const FieldDescriptor* member = v1::JobSpec::descriptor()->FindFieldByName(task);
  Message& message = *spec.GetReflection()->MutableMessage(&spec, member);
  const std::vector<Key> keys = KeysOfTask(task);
  const Key* found = FindKey(keys, key);
  if (found == nullptr) return UnknownKey(key, keys, task);
  if (found->field == nullptr || found->field->containing_type() != message.GetDescriptor()) {
    return absl::InvalidArgumentError(
        absl::StrCat(key, "=", text, ": this key cannot differ between tasks"));
  }
  YOKE_RETURN_IF_ERROR(SetField(message, *found, text, context));
  return spec;
}

}  // namespace yoke::cli
