// key=value words -> a job specification.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/keys/paths.h"
#include "yoke/v1/spec.pb.h"

namespace yoke::cli {

struct SpecWords {
  v1::JobSpec spec;
  std::string display_name;  // name=
  std::string project;       // project=, absolute
};

// `task` is a member of JobSpec's oneof. Values: True/False/1/0 for switches; lists as a,b or [a,b]; paths
// through ResolvePath. InvalidArgument names the word, the key and the nearest one; ranges, choices and what is
// missing are left to the server, which names them all at once.
absl::StatusOr<SpecWords> ParseSpecWords(const std::string& task, const std::vector<std::string>& words,
                                         const PathContext& context);

// A specification with one key of the task alone. InvalidArgument as above; for keys that belong to
// every task too.
absl::StatusOr<v1::JobSpec> ParseOneKey(const std::string& task, const std::string& key,
                                        const std::string& text, const PathContext& context);

}  // namespace yoke::cli
