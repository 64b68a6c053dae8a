// Reads members of one JSON object, typed; the first problem is kept and named.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace yoke::ipc {

class JsonReader {
 public:
  // `what` opens every message. `json` must outlive the reader.
  JsonReader(const nlohmann::json& json, std::string what) : json_(json), what_(std::move(what)) {
    if (!json.is_object()) Fail(absl::StrCat(what_, ": not a JSON object"));
  }

  // A member that must be there.
  template <typename T>
  void Read(const char* name, T& value) {
    const nlohmann::json* member = Find(name);
    if (member == nullptr) {
      Fail(absl::StrCat(what_, ": '", name, "' is missing"));
    } else {
      Take(name, *member, value);
    }
  }

  // A member that keeps its default when it is not there.
  template <typename T>
  void ReadIfPresent(const char* name, T& value) {
    const nlohmann::json* member = Find(name);
    if (member != nullptr) Take(name, *member, value);
  }

  // Null if it is absent.
  const nlohmann::json* Find(const char* name) const {
    if (!json_.is_object()) return nullptr;
    const auto member = json_.find(name);
    return member == json_.end() ? nullptr : &*member;
  }

  void Fail(std::string message) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(message);
  }
  const absl::Status& status() const { return status_; }

 private:
  void Take(const char* name, const nlohmann::json& member, nlohmann::json& value) {
    if (!member.is_object()) return Mistyped(name, "an object");
    value = member;
  }
  void Take(const char* name, const nlohmann::json& member, std::string& value) {
    if (!member.is_string()) return Mistyped(name, "a string");
    value = member.get_ref<const std::string&>();
  }
  void Take(const char* name, const nlohmann::json& member, bool& value) {
    if (!member.is_boolean()) return Mistyped(name, "true or false");
    value = member.get<bool>();
  }
  void Take(const char* name, const nlohmann::json& member, double& value) {
    if (!member.is_number()) return Mistyped(name, "a number");
    value = member.get<double>();
  }
  void Take(const char* name, const nlohmann::json& member, int64_t& value) {
    if (!member.is_number_integer()) return Mistyped(name, "a whole number");
    value = member.get<int64_t>();
  }
  void Take(const char* name, const nlohmann::json& member, int& value) {
    int64_t wide = 0;
    Take(name, member, wide);
    if (wide < INT32_MIN || wide > INT32_MAX) return Mistyped(name, "a 32-bit number");
    value = static_cast<int>(wide);
  }
  void Take(const char* name, const nlohmann::json& member, std::vector<std::string>& value) {
    if (!member.is_array()) return Mistyped(name, "a list of strings");
    value.clear();
    for (const nlohmann::json& item : member) {
      if (!item.is_string()) return Mistyped(name, "a list of strings");
      value.push_back(item.get_ref<const std::string&>());
    }
  }
  void Mistyped(const char* name, const char* expected) {
    Fail(absl::StrCat(what_, ": '", name, "' must be ", expected));
  }

  const nlohmann::json& json_;
  std::string what_;
  absl::Status status_;
};

}  // namespace yoke::ipc
