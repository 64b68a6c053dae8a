#include <string>

#include "common/base/check.h"
#include "nlohmann/json.hpp"
#include "server/jobs/spec.h"

namespace yoke::jobs {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

nlohmann::json ToJson(const Message& message);

nlohmann::json Value(const Message& message, const FieldDescriptor& field) {
  const Reflection& r = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE: return ToJson(r.GetMessage(message, &field));
    case FieldDescriptor::CPPTYPE_STRING: return r.GetString(message, &field);
    case FieldDescriptor::CPPTYPE_BOOL: return r.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE: return r.GetDouble(message, &field);
    case FieldDescriptor::CPPTYPE_INT32: return r.GetInt32(message, &field);
    // As protobuf's JSON has it: not every reader of JSON keeps 64 bits.
    case FieldDescriptor::CPPTYPE_INT64: return std::to_string(r.GetInt64(message, &field));
    default: break;
  }
  YOKE_CHECK_MSG(false, field.full_name());
  return nullptr;
}

nlohmann::json Values(const Message& message, const FieldDescriptor& field) {
  const Reflection& r = *message.GetReflection();
  nlohmann::json values = nlohmann::json::array();
  for (int i = 0; i < r.FieldSize(message, &field); ++i) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING: values.push_back(r.GetRepeatedString(message, &field, i)); break;
      case FieldDescriptor::CPPTYPE_DOUBLE: values.push_back(r.GetRepeatedDouble(message, &field, i)); break;
      case FieldDescriptor::CPPTYPE_INT32: values.push_back(r.GetRepeatedInt32(message, &field, i)); break;
      default: YOKE_CHECK_MSG(false, field.full_name());
    }
  }
  return values;
}

nlohmann::json ToJson(const Message& message) {
  nlohmann::json json = nlohmann::json::object();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    if (field.is_repeated()) {
      json[field.name()] = Values(message, field);
    } else if (!field.has_presence() || message.GetReflection()->HasField(message, &field)) {
      json[field.name()] = Value(message, field);
    }
  }
  return json;
}

}  // namespace

nlohmann::json SpecJson(const v1::JobSpec& resolved) { return ToJson(resolved); }

}  // namespace yoke::jobs
