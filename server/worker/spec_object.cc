#include "server/worker/spec_object.h"

#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace yoke::worker {

using nlohmann::json;

SpecObject::SpecObject(const json& object, std::string path)
    : json_(object), path_(std::move(path)) {
  if (!json_.is_object())
    status_ = absl::InvalidArgumentError(absl::StrCat(path_, ": not a JSON object"));
}

const json* SpecObject::Find(const char* field) {
  read_.insert(field);
  if (!json_.is_object()) return nullptr;
  const auto found = json_.find(field);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

void SpecObject::Fail(const char* field, const std::string& problem) {
  if (status_.ok())
    status_ = absl::InvalidArgumentError(absl::StrCat(path_, ".", field, " ", problem));
}

absl::Status SpecObject::Finish() const {
  if (!status_.ok()) return status_;
  for (const auto& [name, value] : json_.items()) {
    if (!read_.contains(name)) {
      return absl::InvalidArgumentError(absl::StrCat(
          path_, ".", name,
          " is not known to this yoke-worker; it is of another version than the daemon"));
    }
  }
  return absl::OkStatus();
}

void SpecObject::Take(const char* field, const json& item, std::string& value) {
  if (!item.is_string()) return Fail(field, "must be text");
  value = item.get_ref<const std::string&>();
}

void SpecObject::Take(const char* field, const json& item, bool& value) {
  if (!item.is_boolean()) return Fail(field, "must be true or false");
  value = item.get<bool>();
}

void SpecObject::Take(const char* field, const json& item, double& value) {
  if (!item.is_number() || !std::isfinite(item.get<double>()))
    return Fail(field, "must be a number");
  value = item.get<double>();
}

void SpecObject::Take(const char* field, const json& item, int64_t& value) {
  int64_t number = 0;
  if (item.is_number_integer()) {
    number = item.get<int64_t>();
  } else if (!item.is_string() || !absl::SimpleAtoi(item.get_ref<const std::string&>(), &number)) {
    return Fail(field, "must be a whole number");
  }
  value = number;
}

void SpecObject::Take(const char* field, const json& item, uint64_t& value) {
  int64_t number = 0;
  Take(field, item, number);
  if (number < 0) return Fail(field, "must not be negative");
  value = static_cast<uint64_t>(number);
}

void SpecObject::Take(const char* field, const json& item, int& value) {
  int64_t number = value;
  Take(field, item, number);
  if (number < INT32_MIN || number > INT32_MAX) return Fail(field, "does not fit 32 bits");
  value = static_cast<int>(number);
}

}  // namespace yoke::worker
