// What could stand at the cursor of a half-typed command line.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace yoke::cli {

// `words` are those after "yoke", the last one being typed (it may be empty). Verbs and flags come from `app`, keys
// and their values from the specification, ids from `job_ids`, which is asked only where one can stand. Empty
// where a file's name is wanted.
std::vector<std::string> Candidates(const CLI::App& app, const std::vector<std::string>& words,
                                    const std::function<std::vector<std::string>()>& job_ids);

}  // namespace yoke::cli
