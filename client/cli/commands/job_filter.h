// Filter words of `yoke jobs` -> the API's filter.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace yoke::cli {

// "state=RUNNING" -> `state = RUNNING`; "state=QUEUED,RUNNING" -> `state = QUEUED OR state = RUNNING`; "owner=ann",
// "name=night"; several words are joined by AND. A single word with spaces in it is a filter already.
absl::StatusOr<std::string> JobFilter(const std::vector<std::string>& words);

}  // namespace yoke::cli
