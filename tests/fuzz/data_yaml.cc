// Any bytes as the YAML of a data set: names and paths, or a place and a reason.
#include "common/formats/data_yaml.h"

#include "absl/strings/match.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto description = yoke::formats::ParseDataYaml(yoke::fuzz::Text(data, size), "d.yaml");
  if (!description.ok()) {
    yoke::fuzz::CheckRefusal(description.status());
    YOKE_CHECK(absl::StartsWith(description.status().message(), "d.yaml:"));
    return 0;
  }
  YOKE_CHECK(!description->names.empty());
  YOKE_CHECK(!description->train.empty() || !description->val.empty());
  for (const std::string& name : description->names)
    YOKE_CHECK(yoke::formats::Printable(name, name.size()) == name);
  return 0;
}
