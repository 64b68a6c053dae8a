// How the processes of an attempt are started: programs, environments, logs.
#pragma once

#include <string>
#include <vector>

#include "common/ipc/attempt_files.h"
#include "server/shim/phase.h"

namespace yoke::shim {

// What every process of the attempt inherits: this one's environment, and how many threads the user
// may have from now on.
std::vector<std::string> BaseEnv(const ipc::AttemptSpec& spec);

Command PrepareCommand(const ipc::AttemptSpec& spec, const std::vector<std::string>& base_env);
std::vector<Command> RankCommands(const ipc::AttemptSpec& spec,
                                  const std::vector<std::string>& base_env);

}  // namespace yoke::shim
