// The flags of a submission that make many jobs of it: an index, or a sweep over keys.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/keys/paths.h"
#include "yoke/v1/job.pb.h"

namespace CLI {
class App;
}

namespace yoke::cli {

struct ArrayOptions {
  std::string array;               // "0-99%4"
  std::vector<std::string> sweep;  // "lr0=0.01,0.001", "lr0=1e-4..1e-2:log"
  int random = 0;                  // tasks with drawn values; 0: every combination
  int64_t seed = 0;
  int parallel = 0;  // tasks at once; 0: no limit
};

void AddArrayOptions(CLI::App& command, ArrayOptions& options);

// Puts them into the request, if any is given. InvalidArgument names the flag and the word.
absl::Status ApplyArray(const ArrayOptions& options, const std::string& task,
                        const PathContext& context, v1::CreateJobRequest& request);

}  // namespace yoke::cli
