// How the processes of an attempt are started: programs, environments, logs.
#pragma once

#include <string>
#include <vector>

#include "common/ipc/attempt_files.h"
#include "server/shim/phase.h"

namespace yoke::shim {

// How many processes and threads the user may have while the attempt runs, those of now included;
// 0: no limit.
int64_t UserProcessesMax(const ipc::AttemptSpec& spec);

Command PrepareCommand(const ipc::AttemptSpec& spec, int64_t user_processes_max);
std::vector<Command> RankCommands(const ipc::AttemptSpec& spec, int64_t user_processes_max);

}  // namespace yoke::shim
