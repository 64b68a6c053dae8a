// One daemon at a time in a state folder, and never an empty start where jobs were.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/os/ofd_lock.h"

namespace yoke::daemon {

struct StateFolder {
  os::OfdLock lock;
  bool had_jobs = false;  // an earlier daemon worked here: its database must be there
};

// Makes the folder if it is not there (mode 0700) and locks it. FailedPrecondition "… is locked by pid N" if
// another daemon has it; nothing is touched then.
absl::StatusOr<StateFolder> OpenStateFolder(const std::string& path);

// Folders of questions to the worker that are being answered, each named by its run id.
inline std::string ScratchRoot(const std::string& state_dir) { return state_dir + "/scratch"; }

}  // namespace yoke::daemon
