#include "client/cli/commands/candidates.h"

#include <algorithm>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/keys/key_list.h"
#include "client/cli/output/format.h"

namespace yoke::cli {
namespace {

// The task whose keys a verb takes; empty for the other verbs.
std::string TaskOf(const std::string& verb) {
  if (verb == "val") return "validate";
  for (const char* task : {"train", "label", "process", "selftest", "export"}) {
    if (verb == task) return task;
  }
  return "";
}

std::vector<std::string> KeyCandidates(const std::string& task, const std::vector<std::string>& words) {
  std::vector<Key> keys = KeysOfTask(task);
  for (const Key& key : KeysOfEveryTask()) keys.push_back(key);
  const std::string& last = words.back();
  std::vector<std::string> found;
  const size_t equals = last.find('=');
  if (equals != std::string::npos) {
    const Key* key = FindKey(keys, last.substr(0, equals));
    if (key == nullptr || key->field == nullptr) return found;
    for (const std::string& choice : key->setting.choices()) found.push_back(absl::StrCat(key->name, "=", choice));
    if (key->field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_BOOL) {
      found = {absl::StrCat(key->name, "=True"), absl::StrCat(key->name, "=False")};
    }
    return found;
  }
  for (const Key& key : keys) {
    const std::string word = absl::StrCat(key.name, "=");
    const bool used = std::any_of(words.begin(), words.end(), [&](const std::string& other) { return absl::StartsWith(other, word); });
    if (!used) found.push_back(word);
  }
  return found;
}

}  // namespace

std::vector<std::string> Candidates(const CLI::App& app, const std::vector<std::string>& words,
                                    const std::function<std::vector<std::string>()>& job_ids) {
  if (words.empty()) return {};
  const CLI::App* command = &app;
  std::string verb, path;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    for (const CLI::App* child : command->get_subcommands([](const CLI::App*) { return true; })) {
      if (child->get_name() != words[i]) continue;
      command = child;
      if (verb.empty()) verb = words[i];
      path += words[i] + " ";
      break;
    }
  }
  const std::string& last = words.back();
  const std::string before = words.size() > 1 ? words[words.size() - 2] : "";
  std::vector<std::string> found;
  if (before == "-o" || before == "--output") {
    found = FormatWords();
  } else if (before == "--color") {
    found = {"auto", "always", "never"};
  } else if (absl::StartsWith(last, "-")) {
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) found.push_back("--" + name);
    }
  } else if (!command->get_subcommands([](const CLI::App* child) { return !child->get_group().empty(); }).empty()) {
    for (const CLI::App* child : command->get_subcommands([](const CLI::App*) { return true; })) {
      if (!child->get_group().empty()) found.push_back(child->get_name());
    }
  } else if (!TaskOf(verb).empty()) {
    found = KeyCandidates(TaskOf(verb), words);
  } else if (path == "logs " || path == "metrics " || absl::StartsWith(path, "job ") ||
             absl::StartsWith(path, "sweep ")) {
    found = job_ids();
  } else if (path == "jobs ") {
    found = {"state=", "owner=", "name=", "array="};
  } else if (path == "help ") {
    found = {"keys", "exit-codes", "devices"};
  } else if (path == "completion ") {
    found = {"bash", "zsh", "fish"};
  }
  std::erase_if(found, [&](const std::string& word) { return !absl::StartsWith(word, last); });
  return found;
}

}  // namespace yoke::cli
