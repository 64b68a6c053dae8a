// Reads one message of a resolved JobSpec: protobuf JSON with proto field names, so 64-bit numbers
// may come as strings. Strict both ways, because a setting that is silently ignored is worse than a
// refusal: a field that is missing and a field that nobody asked for are both errors.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace yoke::worker {

class SpecObject {
 public:
  // `path` opens every message: "train" gives "train.epochs is missing …". `json` must outlive
  // this.
  SpecObject(const nlohmann::json& json, std::string path);

  // A field that the daemon always resolves. Keeps the first problem and leaves `value` alone then.
  template <typename T>
  void Read(const char* field, T& value) {
    const nlohmann::json* found = Find(field);
    if (found == nullptr) {
      Fail(field, "is missing; a resolved specification holds every setting");
    } else {
      Take(field, *found, value);
    }
  }
  // A field without a default: it stays absent when the user does not give it.
  template <typename T>
  void ReadIfPresent(const char* field, T& value) {
    if (const nlohmann::json* found = Find(field)) Take(field, *found, value);
  }
  // The message in `field`; null if absent.
  const nlohmann::json* Find(const char* field);

  void Fail(const char* field, const std::string& problem);
  // InvalidArgument: the first problem, else the first field that was never read.
  absl::Status Finish() const;

 private:
  void Take(const char* field, const nlohmann::json& json, std::string& value);
  void Take(const char* field, const nlohmann::json& json, bool& value);
  void Take(const char* field, const nlohmann::json& json, double& value);
  void Take(const char* field, const nlohmann::json& json, int64_t& value);
  void Take(const char* field, const nlohmann::json& json, uint64_t& value);
  void Take(const char* field, const nlohmann::json& json, int& value);
  template <typename T>
  void Take(const char* field, const nlohmann::json& json, std::vector<T>& values) {
    if (!json.is_array()) return Fail(field, "must be a list");
    values.clear();
    for (const nlohmann::json& item : json) {
      T value{};
      Take(field, item, value);
      values.push_back(std::move(value));
    }
  }

  const nlohmann::json& json_;
  const std::string path_;
  std::set<std::string> read_;
  absl::Status status_;
};

}  // namespace yoke::worker
