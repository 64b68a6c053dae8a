// Devices that could not be proven empty after a job: looked at again until they are.
#pragma once

#include "server/devices/inventory.h"
#include "server/jobs/job_store.h"

namespace yoke::launcher {

// Gives back every quarantined device that is empty by now. Whether any is left, or nothing can be
// said.
bool ReleaseEmptied(jobs::JobStore& store, const devices::DeviceInventory& inventory);

}  // namespace yoke::launcher
