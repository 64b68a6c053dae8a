// What people type to name devices, resolved against the devices there are. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/devices/inventory.h"

namespace yoke::devices {

// `devices`: GPUs in the order of their ordinals, then CPU slots. `cores`: of the machine.
// Errors as DeviceInventory::Resolve.
absl::StatusOr<DeviceSelection> ResolveDeviceString(const std::string& device_string,
                                                    const std::vector<v1::Device>& devices, int cores);

// One device: "1" (a GPU where there are any, else a CPU slot), "cpu:0", or the beginning of a GPU's UUID. InvalidArgument
// as above.
absl::StatusOr<v1::Device> FindDevice(const std::string& text, const std::vector<v1::Device>& devices);

// The drop-down: "Auto (All 4 GPUs)", "GPU 0: NVIDIA …", …, "CPU", "Custom...".
std::vector<v1::DeviceChoice> MakeChoices(const std::vector<v1::Device>& devices);

}  // namespace yoke::devices
