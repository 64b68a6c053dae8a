// What a task has to work with: the attempt, this rank's place in it, device, group, and whom to
// tell.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/ipc/attempt_files.h"
#include "server/engine/distributed/group.h"
#include "server/engine/observer.h"
#include "server/worker/event_observer.h"

namespace yoke::worker {

struct Rank {
  const ipc::AttemptSpec& attempt;
  at::Device device;
  std::shared_ptr<engine::Group> group;
  EventObserver& observer;
  const engine::StopSignal& stop;

  bool leads() const { return group->rank() == 0; }
};

// One number of each rank, in their order, on every rank. Every rank must call it.
absl::StatusOr<std::vector<double>> GatherNumbers(double mine, engine::Group& group);

// Most memory this process has had resident.
int64_t PeakRssBytes();

}  // namespace yoke::worker
