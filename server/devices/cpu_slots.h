// The CPU as devices: slots that are leased like GPUs, so that a machine without any still queues jobs.
#pragma once

#include <vector>

#include "yoke/v1/device.pb.h"

namespace yoke::devices {

// Cores this process may use.
int UsableCores();

// "cpu:0" …, each with an equal share of the cores as threads. `slots` 0: one per core, at most 8.
std::vector<v1::Device> MakeCpuSlots(int slots);

}  // namespace yoke::devices
