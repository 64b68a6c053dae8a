// How the processes of an attempt are started: programs, environments, logs.
#pragma once

#include <string>
#include <vector>

#include "common/ipc/attempt_files.h"
#include "server/shim/phase.h"

namespace yoke::shim {

// `base_env`: what every process inherits, usually this one's environment.
Command PrepareCommand(const ipc::AttemptSpec& spec, const std::vector<std::string>& base_env);
std::vector<Command> RankCommands(const ipc::AttemptSpec& spec,
                                  const std::vector<std::string>& base_env);

}  // namespace yoke::shim
