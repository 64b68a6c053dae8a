// The keys of key=value arguments, read from the Settings of the job specification's own fields: there is no
// other list of them.
#pragma once

#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "yoke/v1/setting.pb.h"

namespace yoke::cli {

struct Key {
  std::string name;
  const google::protobuf::FieldDescriptor* field;
  v1::Setting setting;
};

// The fields of a task ("train", "validate", "label", "process", "selftest") that can be written as
// key=value, in the order of the proto. For "process" the keys of its training follow its own.
std::vector<Key> KeysOfTask(const std::string& task);

// `device`, and what the command line itself takes: `name` and `project`.
std::vector<Key> KeysOfEveryTask();

// nullptr if there is none of this name.
const Key* FindKey(const std::vector<Key>& keys, const std::string& name);

// The most similar of `names`; empty when none is similar enough to be meant.
std::string Nearest(const std::string& word, const std::vector<std::string>& names);

// One line per key: name, type or choices, default, help.
std::string KeyTable(const std::vector<Key>& keys);

}  // namespace yoke::cli
