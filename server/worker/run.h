// The life of one process of an attempt, from spec.json to its exit code.
#pragma once

#include <string>

namespace yoke::worker {

// One rank. Its place comes from RANK, LOCAL_RANK, WORLD_SIZE; without them it is the only one.
// Returns the exit code, or ends the process with it: see the comment there.
int RunRank(const std::string& spec_path);

// The preparation: prints one line of JSON (prepare.h) on stdout.
int RunPrepare(const std::string& spec_path);

}  // namespace yoke::worker
