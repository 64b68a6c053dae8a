// The YAML that describes a data set, as text in and plain values out: nothing is looked up on disk
// and nothing in it is run.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace yoke::formats {

// Paths are as written.
struct DataDescription {
  std::string path;  // the folder that the others are under; may be empty
  std::vector<std::string> train, val,
      test;                        // folders, .txt lists or images; train or val is given
  std::vector<std::string> names;  // class id -> name, at least one
};

// Ignores keys that it does not know, `download` among them. InvalidArgument "NAME:LINE: what; what
// to do": no YAML, nested deeper than 32 levels, anchors, a key twice, names that are not 0, 1, 2
// ...
absl::StatusOr<DataDescription> ParseDataYaml(const std::string& text, const std::string& name);

}  // namespace yoke::formats
