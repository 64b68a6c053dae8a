// Everything of yoked but the network: state folder, store, inventory, launcher, dispatcher, control.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/daemon/config.h"
#include "server/devices/inventory.h"
#include "server/jobs/job_control.h"
#include "server/jobs/job_store.h"

namespace yoke::daemon {

class Core {
 public:
  // Takes the state folder and opens what is in it; starts nothing yet.
  static absl::StatusOr<std::unique_ptr<Core>> Open(const Config& config);
  virtual ~Core() = default;

  // Takes up what the last daemon left and begins to schedule. The callbacks hear of every change, from any
  // thread, until End.
  virtual absl::Status Begin(std::function<void()> jobs_changed, std::function<void()> devices_changed) = 0;

  // Schedules no more and calls nobody back once it returns. What runs goes on. Idempotent.
  virtual void End() = 0;

  // What has not got on for `limit`, as a sentence; empty while all does. Reads the store, and hangs where that does.
  virtual std::string Stuck(absl::Duration limit) = 0;

  // What was found damaged and how it was mended, in sentences for the operator.
  virtual const std::vector<std::string>& warnings() const = 0;

  virtual jobs::JobStore& store() = 0;
  virtual jobs::JobControl& control() = 0;
  virtual devices::DeviceInventory& inventory() = 0;
  // How the processes of jobs are kept together, in words.
  virtual const std::string& containment() const = 0;
};

}  // namespace yoke::daemon
