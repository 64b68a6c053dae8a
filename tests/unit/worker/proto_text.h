// proto/yoke/v1/spec.proto read as text: the fields of its messages with their defaults. The worker
// does not link protobuf, and neither do its tests.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace yoke::worker {

struct ProtoField {
  std::string type;  // "int32", "TrainSpec" ...
  bool repeated = false;
  std::string default_value;
};

// Message name -> field name -> field, from the file at `path`. Dies on a file without messages.
std::map<std::string, std::map<std::string, ProtoField>> ReadProtoMessages(const std::string& path);

// The JSON of `message` as the daemon resolves it: every default, lists empty, 64-bit numbers as
// strings. Fields without a default get none.
nlohmann::json ResolvedMessage(const std::map<std::string, ProtoField>& message);

// A value of the field's type that is not its default and that its setting allows.
nlohmann::json OtherValue(const std::string& name, const ProtoField& field);

}  // namespace yoke::worker
