// Control groups, version 2: sets of processes that the kernel keeps, as folders. Whatever a
// process of a group starts is in it too, however it hides; a whole group is killed at once.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace yoke::os {

// The folder of this process' group. NotFound where no cgroup2 file system is mounted that shows
// it.
absl::StatusOr<std::string> OwnCgroup();

// Writes a file of the group: SetCgroup(folder, "pids.max", "100"); "0" to "cgroup.procs" moves
// this process there.
absl::Status SetCgroup(const std::string& folder, const std::string& key, std::string_view value);

// Whether a process lives in the group or one below it. NotFound if there is no such group.
absl::StatusOr<bool> IsCgroupPopulated(const std::string& folder);

// Processes of the group and those below it; none if there is no such group.
std::vector<pid_t> CgroupProcesses(const std::string& folder);

// Kills every process of the group and of those below it, also those that are being forked. OK if
// there is no such group.
absl::Status KillCgroup(const std::string& folder);

// Removes the group and those below it. OK if there is no such group; FailedPrecondition while
// processes live in it.
absl::Status RemoveCgroup(const std::string& folder);

}  // namespace yoke::os
