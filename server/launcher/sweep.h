// Whether anything of an attempt is left: processes with its marker, and processes on its devices.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "server/devices/inventory.h"
#include "server/launcher/event_follower.h"

namespace yoke::launcher {

// Kills every process that carries the run id. Those found; empty: none is left.
std::vector<pid_t> KillMarked(const std::string& run_id);

struct Emptiness {
  std::vector<std::string> free;  // proven
  std::vector<std::string> held;  // not proven
  std::string why;                // the latter
};
// `marked`: processes of the attempt that could not be ended; they may sit on any of its devices.
Emptiness LookForHolders(const devices::DeviceInventory& inventory,
                         const std::vector<std::string>& device_uuids,
                         const std::vector<pid_t>& marked, bool alone);

// The preparation answers by its last lines: {"ok":false,"reason":"…","message":"…"}.
void ReadPrepareAnswer(const std::vector<std::string>& last_lines, Report& report);

}  // namespace yoke::launcher
