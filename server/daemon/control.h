// The JobControl that the services see: stops jobs, asks the worker questions.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "server/daemon/scheduling_desk.h"
#include "server/devices/inventory.h"
#include "server/jobs/job_control.h"
#include "server/launcher/launcher.h"

namespace yoke::daemon {

struct ControlOptions {
  std::string state_dir;
  std::string worker_path;
  absl::Duration prepare_timeout = absl::Seconds(120);
  absl::Duration grace = absl::Seconds(10);  // of a job that is stopped, where nobody says how long
};

// Everything given must outlive it. Thread-safe.
std::unique_ptr<jobs::JobControl> MakeControl(const ControlOptions& options, jobs::JobStore& store, const devices::DeviceInventory& inventory,
                                              launcher::Launcher& launcher, SchedulingDesk& desk);

}  // namespace yoke::daemon
