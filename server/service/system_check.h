// The items of CheckSystem: what is here, and whether a training would work with it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/devices/inventory.h"
#include "server/service/services.h"
#include "yoke/v1/system.pb.h"

namespace yoke::service {

// "yoked", "state" (one item for each thing that was damaged and mended), "containment", "cpu", "memory", "disk".
void CheckMachine(const ServerFacts& facts, v1::CheckSystemResponse& response);

// "driver" and one item for each GPU.
void CheckDevices(const devices::DeviceInventory& inventory, v1::CheckSystemResponse& response);

// "worker", "libtorch", "cuda". `probe`: what `yoke-worker --probe` printed, one JSON object;
// "torch" is its version of LibTorch, "cuda" whether CUDA works (true, false, or the sentence why
// not); the rest is shown as it is.
void CheckWorker(const absl::StatusOr<std::string>& probe, bool has_gpus,
                 v1::CheckSystemResponse& response);

}  // namespace yoke::service
