// Whether anything of an attempt is left: processes with its marker, and processes on its devices.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "server/devices/inventory.h"
#include "server/launcher/event_follower.h"

namespace yoke::launcher {

// Kills every process that carries the run id, and every one of the attempt's control group (`cgroup`; empty: none).
// Those found; empty: none is left. All are stopped before any is killed: what forks faster than it is killed cannot
// get away.
std::vector<pid_t> KillMarked(const std::string& run_id, const std::string& cgroup = "");

struct Emptiness {
  std::vector<std::string> free;  // proven
  std::vector<std::string> held;  // not proven
  std::string why;                // the latter
};
// `marked`: processes of the attempt that could not be ended; they may sit on any of its devices. `since_ms`: on
// os::BootMilliseconds; a reading of the GPUs that began earlier proves nothing.
Emptiness LookForHolders(const devices::DeviceInventory& inventory, const std::vector<std::string>& device_uuids, const std::vector<pid_t>& marked,
                         int64_t since_ms);
// Whether the devices, if any of them is a GPU, have been read since then.
bool HasReadingSince(const devices::DeviceInventory& inventory, const std::vector<std::string>& device_uuids, int64_t since_ms);

// The preparation answers by its last lines: {"ok":false,"reason":"…","message":"…"}.
void ReadPrepareAnswer(const std::vector<std::string>& last_lines, Report& report);

}  // namespace yoke::launcher
