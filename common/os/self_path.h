// Where this program lies, so that it finds its siblings wherever the tree was copied to.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace yoke::os {

// Absolute path of the running executable.
absl::StatusOr<std::string> SelfPath();
// Its folder: bin/.
absl::StatusOr<std::string> SelfFolder();

}  // namespace yoke::os
